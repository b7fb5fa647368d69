"""One run, from an empty folder to facts that checkers read: start, load, faults, healing, last reads, stop, search.

Everything that is made is unmade in `finally`, on SIGINT, SIGTERM and SIGHUP. Errors of the harness or target are no
verdict: exit code 3.

Invariants
  R1  the first signal ends the run, later ones do nothing: what removes things is not interrupted
  R2  clients or a watch that end before they were asked to are an error of the harness, at once; what was found until
      then is in the folder, and facts say with `failed` that it is no whole run
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import platform
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import registry
from .api import Admin
from .ending import Ending
from .folder import RunFolder
from .history import Recorder
from .load import Load
from .pulse import Pulse
from .schedule import Schedule
from .targets import simulated
from .targets.base import TargetError
from .targets.given import GivenTarget
from .targets.simulated import SIM
from .threads import whole
from .watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .plan import Plan
    from .targets.base import Target

RUNS: Final = "chaos-runs"
COMMIT_S: Final = 5.0


class RunInterruptedError(TargetError):
    """A signal ended the run; what it had made is gone."""


@dataclass
class Parts:
    """What a run works with."""

    plan: Plan
    folder: RunFolder
    target: Target
    say: Callable[[str], None]
    facts: dict[str, Any] = field(default_factory=dict)
    admin: Admin | None = None


def new_folder(plan: Plan, root: Path) -> Path:
    """An empty folder named by time, scenario and seed."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name = f"{stamp}-{plan.scenario.name}-{plan.seed}"
    for number in range(100):
        path = root / (name if not number else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700, parents=True)
            return path
    raise TargetError(f"no new folder could be made in {root}")


def execute(plan: Plan, folder: Path, target: Target | None = None, say: Callable[[str], None] = print) -> RunFolder:
    """The run is over and its folder holds everything checkers need. Raises TargetError."""
    if plan.target == SIM:
        return simulated.execute(plan, folder, say)
    run = RunFolder(folder)
    made = target or registry.target(plan.target, folder.resolve(), plan.scenario.cluster)
    parts = Parts(plan, run, made, say)
    try:
        asyncio.run(_until_done(parts))
    except BaseException as error:
        parts.facts["failed"] = type(error).__name__
        raise
    finally:
        run.write("facts.json", parts.facts)
    return RunFolder(folder)


async def _until_done(parts: Parts) -> None:
    loop = asyncio.get_running_loop()
    own = asyncio.current_task()
    assert own is not None
    is_ending = False

    def end() -> None:
        nonlocal is_ending
        if not is_ending:
            is_ending = True
            own.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # nohup
        with contextlib.suppress(ValueError, RuntimeError):
            loop.add_signal_handler(number, end)
    try:
        doing = "asking" if isinstance(parts.target, GivenTarget) else "starting"
        parts.say(f"{doing} {len(parts.target.nodes)} nodes ({parts.plan.target})")
        await whole(parts.target.start)
        await _played(parts)
    except asyncio.CancelledError:
        raise RunInterruptedError("the run was interrupted") from None
    finally:
        is_ending = True  # R1
        try:
            await whole(_stopped, parts)
        except asyncio.CancelledError:  # of a signal just before
            raise RunInterruptedError("the run was interrupted") from None


def _stopped(parts: Parts) -> None:
    try:
        if parts.admin is not None:
            parts.admin.close()
        parts.facts["exit_codes"] = parts.target.stop()
        Ending.search(parts.target, parts.folder.path, parts.facts)
    finally:
        parts.target.discard()


async def _played(parts: Parts) -> None:
    plan, target, folder = parts.plan, parts.target, parts.folder
    urls = {node: target.url(node) for node in target.nodes}
    admin = parts.admin = Admin(urls, target.token, target.ca_file, target.made)
    run_id = f"{folder.path.name}"
    workloads = [(registry.workload(name), share) for name, share in plan.scenario.workloads.items()]
    find = target.nemesis if isinstance(target, GivenTarget) else registry.nemesis
    nemeses = {step.nemesis: find(step.nemesis) for step in plan.steps}
    for workload, _ in workloads:
        workload.mount = target.mount
        await asyncio.to_thread(workload.prepare, admin, run_id)
    parts.facts["write_gap_s"] = {name: one.write_gap_s for name, one in nemeses.items()}
    folder.write("plan.json", _plan_json(plan, target, {name: one.colour for name, one in nemeses.items()}))
    with (
        (folder.path / "history.jsonl").open("w", encoding="utf-8") as lines,
        (folder.path / "samples.jsonl").open("w", encoding="utf-8") as samples,
    ):
        recorder = Recorder(lines)
        watch = Watch(urls, target.token, target.ca_file, samples, recorder.now_ns)
        load = Load(
            urls=urls, token=target.token, ca_file=target.ca_file, recorder=recorder, workloads=workloads,
            rate_per_s=plan.scenario.rate_per_s, seed=plan.seed,
        )  # fmt: skip
        schedule = Schedule(plan, target, nemeses, watch, recorder)
        pulse = Pulse(recorder.now_ns)
        watching = asyncio.create_task(watch.run(), name="the watch")
        loading = asyncio.create_task(load.run(), name="the load")
        beating = asyncio.create_task(pulse.run(), name="the pulse")
        try:
            await unless_one_ends(_acts(parts, load, schedule, recorder), watching, loading, beating)
            load.stop()
            await loading
            parts.facts["unhealed"] = schedule.effects
            ending = Ending(parts.plan, target, admin, load, parts.facts)
            await unless_one_ends(ending.run(schedule.unhealed), watching, beating)
        finally:
            for task in (watching, loading, beating):
                task.cancel()
            await asyncio.gather(watching, loading, beating, return_exceptions=True)
            await whole(schedule.heal_now)
            parts.facts |= {"skipped": schedule.skipped, "load": load.facts(), "pulse": pulse.facts()}
            recorder.flush()


async def unless_one_ends(work: Coroutine[Any, Any, None], *others: asyncio.Task[None]) -> None:
    """The work is done, while none of the others ended (R2). Raises what ended it, or RuntimeError."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task, *others}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    for one in done - {task}:
        one.result()
        raise RuntimeError(f"{one.get_name()} ended before the run did")
    task.result()


async def _acts(parts: Parts, load: Load, schedule: Schedule, recorder: Recorder) -> None:
    plan = parts.plan
    parts.say(f"warming up for {plan.scenario.warm_up_s:g} s; the whole takes about {plan.length_s:.0f} s")
    await asyncio.sleep(plan.scenario.warm_up_s)
    parts.facts["faults_from_ns"] = recorder.now_ns()
    parts.say(f"{load.acknowledged} operations acknowledged; {len(plan.steps)} faults follow")
    await schedule.run()
    await schedule.heal_all()
    parts.facts["healed_ns"] = recorder.now_ns()
    parts.say("healed; load goes on for a while")
    await asyncio.sleep(plan.scenario.cool_down_s)
    parts.facts["load_ended_ns"] = recorder.now_ns()


def _plan_json(plan: Plan, target: Target, colours: dict[str, str]) -> dict[str, Any]:
    return {
        **plan.as_json(),
        "nodes": target.nodes,
        "colours": colours,
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {"strongroom": _version(), "python": platform.python_version(), "commit": _commit()},
        "abilities": sorted(target.abilities),
    }


def _version() -> str:
    try:
        return importlib.metadata.version("strongroom")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _commit() -> str:
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git there is
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=COMMIT_S,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()

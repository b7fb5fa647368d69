"""What the machine is, from the kernel's texts."""

from pathlib import Path

from node.host_info import host_info, memory, processor_times, processors

CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model name\t: Some Processor
cpu MHz\t\t: 2450.000

processor\t: 1
cpu MHz\t\t: unknown

Hardware\t: none
"""
STAT = "cpu  400 0 100 900 0 0 0 0 0 0\ncpu0 200 10 50 450 1 2 3 4 5 6\ncpu1 200 0\nintr 5 6\n"
MEMINFO = "MemTotal:  1000 kB\nMemFree:  100 kB\nMemAvailable:  250 kB\nHugePages_Total: 0\n"


def test_processors_are_told_apart():
    """What is not there is empty, what is no processor is none."""
    found = processors(CPUINFO)

    assert [(one["cpu"], one["modelName"], one["mhz"]) for one in found] == [(0, "Some Processor", 2450.0), (1, "", 0)]
    assert processors("") == []


def test_times_are_seconds_of_each_processor():
    """The sum of all is left out."""
    found = processor_times(STAT)

    assert found[0] == {
        "cpu": "cpu0", "user": 2.0, "nice": 0.1, "system": 0.5, "idle": 4.5, "iowait": 0.01, "irq": 0.02,
        "softirq": 0.03, "steal": 0.04, "guest": 0.05, "guestNice": 0.06,
    }  # fmt: skip
    assert found[1] == {"cpu": "cpu1", "user": 2.0, "nice": 0.0}
    assert len(found) == 2


def test_memory_is_bytes():
    """Used is what is not available."""
    assert memory(MEMINFO) == {
        "total": 1_024_000,
        "free": 102_400,
        "available": 256_000,
        "used": 768_000,
        "usedPercent": 75.0,
    }
    assert memory("") == {}


def test_a_machine_without_these_files_has_fewer_numbers(tmp_path: Path):
    """And no error; a folder that is not there has no disk."""
    found = host_info(str(tmp_path / "none"), tmp_path / "proc")

    assert (found["cpu"], found["cpu_times"], found["disk"], found["memory"]) == ([], [], [], {})
    assert found["host"]["hostname"]


def test_this_machine_answers(tmp_path: Path):
    """With at least a name and a disk."""
    found = host_info(str(tmp_path))

    assert found["disk"][0]["total"] > 0
    assert found["host"]["os"]

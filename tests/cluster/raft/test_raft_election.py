"""Votes: who may ask, who may give, and what must be durable first (E1-E5)."""

from __future__ import annotations

import pytest

from cluster.journal.ballot import Ballot
from cluster.links.messages import (
    NO_ENTRIES,
    Ack,
    Append,
    PreVote,
    PreVoteAnswer,
    RequestVote,
    TimeoutNow,
    Vote,
)
from cluster.raft.chassis import CANDIDATE, FOLLOWER, LEADER
from tests.cluster.raft.wiring import NO_OP_COMMAND, TIMING, Node, Wired, entry_one, lone, opened


def candidate(*, peers: int = 2, ballot: Ballot | None = None) -> tuple[Node, object]:
    """n1 has won its pre-votes and asks for votes; nothing of its ballot is durable yet."""
    node, clock = lone(peers=peers, start=opened(ballot=ballot) if ballot else None)
    clock.now_s += 2.0
    node.replica.tick()
    for peer in list(node.replica.peers)[: peers // 2]:
        node.hear(peer, PreVoteAnswer(node.replica.term, node.replica.term + 1, granted=True))
    node.replica.tick()
    assert node.replica.role == CANDIDATE
    return node, clock


def follower(*, term: int = 3, leader: str = "n2", start: object = None) -> tuple[Node, object]:
    """n1 has just heard n2 lead `term`."""
    node, clock = lone(start=start)  # type: ignore[arg-type]
    node.hear(leader, Append(term, 1, 1, 1, 0, 1, NO_ENTRIES))
    node.sync()
    node.sent.clear()
    return node, clock


# ---- E1: durable votes
def test_a_vote_leaves_only_when_its_ballot_is_durable() -> None:
    """Granted at once, spoken later."""
    node, clock = lone()
    clock.now_s += 1.0
    node.hear("n2", RequestVote(1, 5, 1))
    before = node.said(Vote)
    node.sync_ballot()

    assert before == []
    assert node.said(Vote) == [Vote(1, granted=True)]
    assert node.writer.ballots[-1][1].vote == "n2"


def test_a_vote_request_leaves_only_when_its_ballot_is_durable() -> None:
    """Nobody hears of a term that could be forgotten."""
    node, _ = candidate()
    before = node.said(RequestVote)
    node.sync_ballot()

    assert (before, len(node.said(RequestVote))) == ([], 2)


def test_a_candidate_s_own_vote_counts_only_when_it_is_durable() -> None:
    """Two of five others and itself are a majority, once its own vote is on its disk."""
    node, _ = candidate(peers=4)
    for peer in ("n2", "n3"):
        node.hear(peer, Vote(1, granted=True))
    before = node.replica.role
    node.sync_ballot()

    assert (before, node.replica.role) == (CANDIDATE, LEADER)


def test_a_majority_of_others_does_not_elect_before_the_own_ballot_either() -> None:
    """A leader's own term must survive its restart."""
    node, _ = candidate(peers=4)
    for peer in ("n2", "n3", "n4"):
        node.hear(peer, Vote(1, granted=True))

    assert node.replica.role == CANDIDATE


def test_the_same_voter_twice_is_one_vote() -> None:
    """Voters are a set: a message may be delivered twice."""
    node, _ = candidate(peers=4)
    node.sync_ballot()
    node.hear("n2", Vote(1, granted=True))
    node.hear("n2", Vote(1, granted=True))

    assert node.replica.role == CANDIDATE


@pytest.mark.parametrize("vote", [Vote(1, granted=False), Vote(0, granted=True)])
def test_a_refusal_or_a_vote_of_an_older_term_does_not_count(vote: Vote) -> None:
    """Only granted, only in this term."""
    node, _ = candidate()
    node.sync_ballot()
    node.hear("n2", vote)

    assert node.replica.role == CANDIDATE


@pytest.mark.parametrize(("peers", "leads"), [(0, True), (2, False)])
def test_a_cluster_of_one_leads_without_waiting_for_anybody(*, peers: int, leads: bool) -> None:
    """Time stands still: what it waits for is its vote on the disk. Who has peers waits out a leader they may have."""
    node, _ = lone(peers=peers, start=opened(ballot=Ballot(term=4, incarnation=2, born=True)))
    node.replica.tick()
    before = node.replica.role
    node.sync()
    node.replica.tick()

    assert before == (CANDIDATE if leads else FOLLOWER)
    assert node.replica.is_leader is leads
    assert node.replica.term == (5 if leads else 4)


def test_a_cluster_of_one_does_not_stand_while_its_ballot_is_on_its_way() -> None:
    """Then it stands at once."""
    node, _ = lone(peers=0)
    node.replica.set_term(9, None)
    node.replica.tick()
    before = node.replica.role
    node.sync_ballot()
    node.replica.tick()

    assert (before, node.replica.role, node.replica.term) == (FOLLOWER, CANDIDATE, 10)


def test_a_cluster_of_one_that_is_recovering_does_not_stand() -> None:
    """It has nobody who could make it whole."""
    node, clock = lone(peers=0, start=opened(ballot=RECOVERING))
    clock.now_s += 5.0
    node.replica.tick()
    node.sync()
    node.replica.tick()

    assert node.replica.role == FOLLOWER


def test_a_second_candidate_of_the_term_gets_nothing() -> None:
    """Election safety; its twin: the first one may ask again."""
    node, clock = lone()
    clock.now_s += 1.0
    node.hear("n2", RequestVote(1, 5, 1))
    node.sync()
    node.sent.clear()
    node.hear("n3", RequestVote(1, 9, 1))
    node.sync()
    second = node.said(Vote)
    node.hear("n2", RequestVote(1, 5, 1))
    node.sync()

    assert second == []
    assert node.said(Vote, "n2") == [Vote(1, granted=True)]


def test_a_vote_survives_a_restart() -> None:
    """The next life of the same ballot refuses everybody else in that term."""
    node, clock = lone(start=opened(ballot=Ballot(term=4, vote="n2", incarnation=2, born=True)))
    clock.now_s += 1.0
    node.hear("n3", RequestVote(4, 9, 3))
    node.sync()

    assert node.said(Vote) == []


def test_an_entry_of_a_later_term_than_the_ballot_makes_the_vote_void_and_keeps_the_term() -> None:
    """Start term = the highest of ballot, log and snapshot."""
    ballot = Ballot(term=4, vote="n2", incarnation=2, born=True)
    node, _ = lone(start=opened(entries=[(1, 0, entry_one()), (2, 6, NO_OP_COMMAND)], ballot=ballot))

    assert (node.replica.term, node.replica.vote, node.writer.ballots[-1][1].term) == (6, None, 6)


def test_a_held_vote_of_a_term_that_is_over_is_never_spoken() -> None:
    """It is a statement of its term."""
    node, clock = lone()
    clock.now_s += 1.0
    node.hear("n2", RequestVote(1, 5, 1))
    node.hear("n3", Append(2, 1, 1, 1, 0, 1, NO_ENTRIES))
    node.sync()

    assert node.said(Vote) == []


def test_what_waits_for_a_ballot_is_bounded() -> None:
    """A peer that asks again and again cannot fill the memory."""
    node, clock = lone()
    clock.now_s += 1.0
    for _ in range(2000):
        node.hear("n2", RequestVote(1, 5, 1))

    assert len(node.replica._held) <= 256


# ---- the election restriction
@pytest.mark.parametrize(
    ("last_index", "last_term", "granted"),
    [(2, 5, True), (3, 5, True), (1, 6, True), (1, 5, False), (9, 4, False), (2, 4, False)],
)
def test_a_vote_goes_to_a_log_at_least_as_complete(last_index: int, last_term: int, *, granted: bool) -> None:
    """By last term, then by last index; our log ends with (2, 5)."""
    node, clock = lone(start=opened(entries=[(1, 0, entry_one()), (2, 5, NO_OP_COMMAND)]))
    clock.now_s += 1.0
    node.hear("n2", RequestVote(7, last_index, last_term))
    node.sync()

    assert [vote.granted for vote in node.said(Vote)] == [True] * granted


def test_a_candidate_of_an_older_term_is_told_the_present_one() -> None:
    """Refused, with the term that deposes it."""
    node, clock = lone(start=opened(ballot=Ballot(term=4, incarnation=1, born=True)))
    clock.now_s += 1.0
    node.hear("n2", RequestVote(3, 9, 3))
    node.sync()

    assert node.said(Vote) == [Vote(4, granted=False)]


# ---- E2: stickiness
@pytest.mark.parametrize(("waited_s", "granted"), [(0.3, False), (0.49, False), (0.51, True)])
def test_no_vote_within_election_min_of_the_leader_s_last_word(waited_s: float, *, granted: bool) -> None:
    """Neither vote nor pre-vote; and the term does not move."""
    node, clock = follower()
    clock.now_s += waited_s
    node.hear("n3", PreVote(3, 9, 3))
    node.hear("n3", RequestVote(9, 9, 8))
    node.sync()

    assert [answer.granted for answer in node.said(PreVoteAnswer)] == [granted]
    assert (len(node.said(Vote)), node.replica.term) == ((1, 9) if granted else (0, 3))


@pytest.mark.parametrize(("waited_s", "granted"), [(0.4, False), (0.6, True)])
def test_a_restarted_node_waits_as_if_it_had_just_heard_a_leader(waited_s: float, *, granted: bool) -> None:
    """It has forgotten whom it promised what."""
    node, clock = lone()
    clock.now_s += waited_s
    node.hear("n2", RequestVote(1, 9, 8))
    node.sync()

    assert len(node.said(Vote)) == granted


def test_a_leader_that_a_majority_answers_votes_for_nobody() -> None:
    """A node that comes back with a higher term does not depose it by asking."""
    wired = Wired()
    leader = wired.elect("n1")
    term = leader.replica.term
    wired["n1"].hear("n3", RequestVote(term + 5, 99, term))
    wired.settle()

    assert (leader.replica.role, leader.replica.term) == (LEADER, term)


def test_a_deposed_leader_keeps_the_promise_its_own_rounds_made() -> None:
    """Its vote is part of the majority behind them: none within election_min of the newest one."""
    wired = Wired()
    leader = wired.elect("n1")
    sent_s = leader.replica.majority_sent_s
    leader.replica.step_down()
    leader.hear("n2", RequestVote(leader.replica.term + 1, 99, leader.replica.term))
    at_once = leader.replica.term
    wired.clock.now_s = sent_s + TIMING.election_min_s + 0.001
    leader.hear("n2", RequestVote(leader.replica.term + 1, 99, leader.replica.term))

    assert leader.replica.contact_s >= sent_s
    assert leader.replica.term == at_once + 1


def test_a_deposed_leader_does_not_stand_while_its_promise_holds() -> None:
    """Its own candidacy is a vote of its own."""
    wired = Wired()
    leader = wired.elect("n1")
    leader.replica.step_down()
    leader.replica.campaign_now(transfer=False)
    leader.sent.clear()
    leader.replica.tick()

    assert (leader.said(PreVote), leader.replica.role) == ([], FOLLOWER)


# ---- E3: recovering
RECOVERING = Ballot(term=2, recovering=True, incarnation=7, born=True)


def recovering_node() -> Node:
    """It has been silent for long enough (E7)."""
    node, clock = lone(start=opened(ballot=RECOVERING))
    clock.now_s += 2.0
    return node


def test_a_recovering_node_gives_neither_vote_nor_pre_vote() -> None:
    """Its log may lack what it acknowledged; its twin is `test_a_vote_leaves_only_…`."""
    node, clock = lone(start=opened(ballot=RECOVERING))
    clock.now_s += 1.0
    node.hear("n2", PreVote(2, 9, 2))
    node.hear("n2", RequestVote(3, 9, 2))
    node.sync()

    assert [answer.granted for answer in node.said(PreVoteAnswer)] == [False]
    assert node.said(Vote) == []


def test_a_recovering_node_never_stands() -> None:
    """However long it waits."""
    node, clock = lone(start=opened(ballot=RECOVERING))
    for _ in range(50):
        clock.now_s += 1.0
        node.replica.tick()

    assert (node.said(PreVote), node.replica.role) == ([], FOLLOWER)


def test_a_recovering_node_refuses_to_take_over() -> None:
    """TimeoutNow means a vote for itself."""
    node = recovering_node()
    node.hear("n2", Append(3, 1, 0, 0, 0, 7, NO_ENTRIES))
    node.hear("n2", TimeoutNow(3))
    node.replica.tick()

    assert node.replica.leader == "n2"
    assert node.replica.role == FOLLOWER


def recovering_append(*, life: int = 7, commit: int = 2, term: int = 3) -> Append:
    """The leader of `term` sends its no-op at 2 and says what is committed."""
    from cluster.links.messages import pack_entries

    return Append(term, 4, commit, 1, 0, life, pack_entries([(term, NO_OP_COMMAND)]))


def test_recovering_ends_when_the_leader_s_committed_entry_is_durable_and_so_is_the_ballot() -> None:
    """Three steps: received, on the disk, said by a durable ballot."""
    node = recovering_node()
    node.sync_ballot()
    node.hear("n2", recovering_append())
    steps = [node.replica.recovering, node.writer.ballots[-1][1].recovering]
    node.sync_log()
    steps += [node.replica.recovering, node.writer.ballots[-1][1].recovering]
    node.sync_ballot()

    assert steps == [True, True, True, False]
    assert node.replica.recovering is False


def test_the_end_of_recovering_is_written_once() -> None:
    """Further appends while that ballot is on its way write no other."""
    node = recovering_node()
    node.hear("n2", recovering_append())
    node.sync_log()
    count = len(node.writer.ballots)
    node.hear("n2", Append(3, 5, 2, 2, 3, 7, NO_ENTRIES))

    assert len(node.writer.ballots) == count


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (recovering_append(life=6), "sent before the leader knew this life"),
        (recovering_append(life=0), "sent before the leader knew any life"),
        (recovering_append(commit=1), "what is committed is of an earlier term"),
        (recovering_append(commit=5), "more is committed than arrived"),
    ],
)
def test_recovering_goes_on(message: Append, why: str) -> None:
    """Each condition alone keeps it."""
    node = recovering_node()
    node.hear("n2", message)
    node.sync()
    node.sync()

    assert node.replica.recovering, why


def test_an_acknowledgement_says_recovering_until_the_clearing_is_durable() -> None:
    """The next node may be replaced only then."""
    node = recovering_node()
    node.sync_ballot()
    node.hear("n2", recovering_append())
    node.sync_log()
    node.hear("n2", Append(3, 5, 2, 2, 3, 7, NO_ENTRIES))
    before = node.said(Ack)[-1].recovering
    node.sync_ballot()
    node.hear("n2", Append(3, 6, 2, 2, 3, 7, NO_ENTRIES))

    assert (before, node.said(Ack)[-1].recovering) == (True, False)


# ---- E4: pre-votes
def test_a_node_alone_does_not_move_its_term() -> None:
    """Without a majority of pre-votes there is no campaign, however long it waits."""
    node, clock = lone()
    for _ in range(20):
        clock.now_s += 1.0
        node.replica.tick()

    assert (node.replica.term, node.replica.role) == (0, FOLLOWER)
    assert len(node.said(PreVote)) >= 20


def test_a_majority_of_pre_votes_begins_a_campaign() -> None:
    """One of two others is enough."""
    node, _ = candidate()

    assert node.replica.term == 1


@pytest.mark.parametrize(
    "answer", [PreVoteAnswer(0, 1, granted=False), PreVoteAnswer(0, 2, granted=True), PreVoteAnswer(0, 0, granted=True)]
)
def test_a_refused_or_stale_pre_vote_begins_nothing(answer: PreVoteAnswer) -> None:
    """It must be granted, for the very term."""
    node, clock = lone()
    clock.now_s += 1.0
    node.replica.tick()
    node.hear("n2", answer)
    node.replica.tick()

    assert node.replica.role == FOLLOWER


def test_pre_votes_that_a_leader_s_word_overtakes_are_void() -> None:
    """A leader is alive after all."""
    node, clock = lone()
    clock.now_s += 1.0
    node.replica.tick()
    node.hear("n3", Append(1, 1, 1, 1, 0, 1, NO_ENTRIES))
    node.hear("n2", PreVoteAnswer(1, 1, granted=True))
    node.replica.tick()

    assert (node.replica.role, node.replica.leader) == (FOLLOWER, "n3")


def test_an_answer_with_a_higher_term_is_adopted() -> None:
    """A node with an old term learns the present one."""
    node, clock = lone()
    clock.now_s += 1.0
    node.replica.tick()
    node.hear("n2", PreVoteAnswer(8, 1, granted=False))

    assert (node.replica.term, node.replica.role) == (8, FOLLOWER)


def test_a_timer_that_runs_out_inside_a_turn_makes_no_candidate() -> None:
    """The library looks at the clock a second time: between the two looks the timer may run out."""
    node, clock = lone()
    node.replica.before_tick()
    clock.now_s += 5.0
    node.replica._hidden = True
    node.replica._onTick(0.0)

    assert (node.replica.election_due, node.replica.role, node.replica.term) == (True, FOLLOWER, 0)


@pytest.mark.parametrize("obstacle", ["recovering", "insane clock"])
def test_nothing_wins_over_what_keeps_a_node_from_standing(obstacle: str) -> None:
    """Neither pre-votes nor the leader's word; its twin: without the obstacle both do."""
    node, _ = follower()
    node.replica._pre_vote_won = True
    node.replica._transfer_told = 3
    before = node.replica.may_campaign()
    if obstacle == "recovering":
        node.replica.recovering = True
    else:
        node.replica.clock_is_sane = False

    assert (before, node.replica.may_campaign()) == (True, False)


def test_an_insane_clock_neither_votes_for_itself_nor_keeps_leading() -> None:
    """A node far off the members' median stays a follower."""
    wired = Wired()
    leader = wired.elect("n1")
    leader.replica.clock_is_sane = False
    leader.replica.tick()
    role = leader.replica.role
    for _ in range(20):
        wired.clock.now_s += 1.0
        leader.replica.tick()

    assert (role, leader.replica.role) == (FOLLOWER, FOLLOWER)


# ---- E5: slow ballots
def test_nobody_stands_while_its_ballot_is_on_its_way() -> None:
    """A campaign of the next term would void the one that is about to begin."""
    node, clock = candidate()
    for _ in range(30):
        clock.now_s += 0.5  # type: ignore[attr-defined]
        node.replica.tick()

    assert node.replica.term == 1


def test_a_candidate_waits_for_votes_from_the_moment_its_request_left() -> None:
    """Not from the moment its ballot went to the disk."""
    node, clock = candidate()
    clock.now_s += 0.75  # type: ignore[attr-defined]
    node.sync_ballot()
    clock.now_s += 0.45  # type: ignore[attr-defined]
    node.replica.tick()
    node.hear("n2", Vote(1, granted=True))

    assert node.replica.role == LEADER


def test_every_further_campaign_waits_longer() -> None:
    """The first as usual, then half a second more each: slow disks win some time."""
    node, clock = candidate()
    waits = []
    for term in range(1, 6):
        node.sync_ballot()
        begun = clock.now_s  # type: ignore[attr-defined]
        while node.replica.term == term:
            clock.now_s += 0.01  # type: ignore[attr-defined]
            node.replica.tick()
            if node.said(PreVote)[-1:] and node.replica.role == CANDIDATE:
                node.hear("n2", PreVoteAnswer(term, term + 1, granted=True))
        waits.append(round(clock.now_s - begun, 1))  # type: ignore[attr-defined]

    assert waits == [0.7, 1.2, 1.7, 2.2, 2.7]


@pytest.mark.parametrize("sync_s", [0.3, 0.9, 1.5])
def test_a_leader_is_elected_though_every_ballot_takes_longer_than_a_timeout(sync_s: float) -> None:
    """Elections end on slow disks, too."""
    wired = Wired()
    wired.slow = set(wired.names)
    due: dict[str, list[tuple[float, int]]] = {name: [] for name in wired.names}
    seen = dict.fromkeys(wired.names, 0)
    end_s = wired.clock.now_s + 30.0
    while wired.clock.now_s < end_s and not wired.leaders():
        wired.clock.now_s += 0.02
        wired.turn()
        for name, node in wired.nodes.items():
            for sequence, _ in node.writer.ballots[seen[name] :]:
                due[name].append((wired.clock.now_s + sync_s, sequence))
            seen[name] = len(node.writer.ballots)
            ready = [sequence for at_s, sequence in due[name] if at_s <= wired.clock.now_s]
            due[name] = [(at_s, sequence) for at_s, sequence in due[name] if at_s > wired.clock.now_s]
            if ready:
                node.replica.on_ballot_durable(max(ready))

    assert len(wired.leaders()) == 1


# ---- E6: a disk that was put back
def test_a_node_that_comes_with_less_than_its_peers_know_is_recovering_durably() -> None:
    """A committed index that was on its disk, or a term in which it voted; its twin: it comes with as much."""
    verdicts = []
    for known in ((4, 2), (4, 3), (5, 1)):
        node, _ = lone(start=opened(entries=[(1, 0, entry_one()), (2, 4, NO_OP_COMMAND)],
                                    ballot=Ballot(term=4, incarnation=9, born=True)))  # fmt: skip
        node.replica.meet(known)
        verdicts.append((node.replica.recovering, [ballot.recovering for _, ballot in node.writer.ballots]))

    assert verdicts == [(False, []), (True, [True]), (True, [True])]


def test_a_node_that_was_put_back_does_not_elect_a_leader_without_what_it_had() -> None:
    """n1 and n3 hold a committed write; n3's disk is put back, n1 dies: n3 must not help n2 to lead without it."""
    wired = Wired()
    node = wired.elect("n1")
    wired.cut = {("n1", "n2"), ("n2", "n1"), ("n3", "n2"), ("n2", "n3")}
    node.propose()
    wired.run(1.5)
    known = node.log.known["n3"]
    put_back = opened(ballot=Ballot(term=node.replica.term, incarnation=50, born=True))
    wired.start("n3", put_back)
    wired["n3"].replica.meet(known[1:])
    wired.cut = {pair for other in wired.names for pair in (("n1", other), (other, "n1"))}
    wired.run(4.0)

    assert node.answers.proposals[0][2] is None
    assert known[2] >= 3
    assert wired["n2"].replica.role != LEADER
    assert wired["n3"].replica.role == FOLLOWER


def test_what_is_known_of_others_is_in_every_ballot_and_survives() -> None:
    """Written with elections, and by a leader at most once a second while something moves."""
    wired = Wired()
    node = wired.elect("n1")
    count = len(node.writer.ballots)
    for _ in range(30):
        node.propose()
        wired.run(0.1)
    written = len(node.writer.ballots) - count
    again = Node("n1", ["n2", "n3"], wired.clock, start=opened(ballot=node.writer.ballots[-1][1]))

    assert 2 <= written <= 4
    assert again.log.known == node.log.ballot.peers
    assert {peer: known[2] > 2 and known[1] == 1 for peer, known in again.log.known.items()}["n2"] is True


def test_an_idle_leader_writes_no_ballots() -> None:
    """Nothing moves, nothing is worth a sync."""
    wired = Wired()
    node = wired.elect("n1")
    wired.run(2.0)
    count = len(node.writer.ballots)
    wired.run(5.0)

    assert len(node.writer.ballots) == count


# ---- transfer
def test_leadership_goes_to_the_most_complete_follower() -> None:
    """And what was written before is committed."""
    wired = Wired()
    leader = wired.elect("n1")
    leader.propose()
    assert leader.replica.transfer_leadership("n3")
    wired.run(0.5)

    assert wired.leaders() == ["n3"]
    assert [error for _, _, error in leader.answers.proposals] == [None]


def test_nothing_is_proposed_while_leadership_is_handed_over() -> None:
    """Its twin: before it, and after it was called off, writes go on."""
    from cluster.errors import UnavailableError

    wired = Wired()
    leader = wired.elect("n1")
    leader.replica.may_propose()
    leader.replica.transfer_leadership()
    with pytest.raises(UnavailableError, match="handed over"):
        leader.replica.may_propose()


def test_a_hand_over_that_finds_no_target_is_called_off() -> None:
    """Nothing was sent, so the term is still good."""
    wired = Wired()
    leader = wired.elect("n1")
    leader.propose()  # nobody has it yet
    wired.cut = {(a, b) for a in wired.names for b in wired.names if {a, b} == {"n1", "n3"}}
    assert leader.replica.transfer_leadership("n3")
    wired.run(1.0)

    assert (wired.leaders(), leader.replica.transferring) == (["n1"], False)


def test_a_burnt_term_ends() -> None:
    """TimeoutNow left and nobody took over: the leader steps down after election_max."""
    wired = Wired()
    leader = wired.elect("n1")
    leader.replica.transfer_leadership("n3")
    leader.replica.tick()
    leader.sent = [(peer, message) for peer, message in leader.sent if not isinstance(message, TimeoutNow)]
    steps = []
    for _ in range(100):
        wired.clock.now_s += 0.01
        wired.turn()
        steps.append(leader.replica.is_leader)

    assert (steps[50], steps[-1]) == (True, False)


def test_a_transfer_overrides_stickiness_in_its_own_term_only() -> None:
    """The leader honours the flag only if it sent TimeoutNow itself; its twin above shows that it then does."""
    wired = Wired()
    leader = wired.elect("n1")
    term = leader.replica.term
    leader.hear("n3", RequestVote(term + 1, 99, term, transfer=True))

    assert (leader.replica.role, leader.replica.term) == (LEADER, term)


@pytest.mark.parametrize(
    ("peer", "term"), [("n3", 3), ("n2", 2), ("n2", 4)], ids=["not the leader", "older term", "later term"]
)
def test_only_the_leader_of_this_very_term_may_say_timeout_now(peer: str, term: int) -> None:
    """Anybody else is not heard."""
    node, _ = follower()
    node.hear(peer, TimeoutNow(term))
    node.replica.tick()

    assert node.replica.role == FOLLOWER


def test_timeout_now_is_void_once_another_leader_is_heard() -> None:
    """Told in term 3 and paused before its turn: the leader of term 4 must not be deposed without pre-votes."""
    node, clock = follower()
    node.hear("n2", TimeoutNow(3))
    node.hear("n3", Append(4, 1, 1, 1, 0, 1, NO_ENTRIES))
    for _ in range(3):
        clock.now_s += 0.01  # type: ignore[attr-defined]
        node.replica.tick()

    assert (node.replica.role, node.replica.term, node.replica.leader) == (FOLLOWER, 4, "n3")


def test_a_node_alone_leads_once_its_ballot_is_durable() -> None:
    """A cluster of one; its twin: not before."""
    node, clock = lone(peers=0)
    clock.now_s += 1.0
    node.replica.tick()
    before = node.replica.role
    node.sync()
    node.replica.tick()

    assert (before, node.replica.role) == (CANDIDATE, LEADER)


def test_a_node_alone_with_a_slow_disk_does_not_campaign_again_and_again() -> None:
    """Each new term would need another ballot."""
    node, clock = lone(peers=0)
    for _ in range(40):
        clock.now_s += 0.5
        node.replica.tick()
    node.sync()

    assert (node.replica.role, node.replica.term) == (LEADER, 1)

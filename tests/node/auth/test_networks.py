"""Networks: inside or outside, one list within another, and what two have in common."""

import pytest

from node.auth import networks


@pytest.mark.parametrize(
    ("cidrs", "address", "inside"),
    [
        (["10.0.0.0/8"], "10.255.0.1", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", True),
        (["192.0.2.7"], "192.0.2.7", True),
        (["192.0.2.7"], "192.0.2.8", False),
        (["fd00::/8", "10.0.0.0/8"], "fd00::1", True),
        (["0.0.0.0/0"], "fd00::1", False),
        (["nonsense"], "10.0.0.1", False),
        (["10.0.0.0/8"], "nonsense", False),
        (["10.0.0.0/8"], "", False),
        ([], "10.0.0.1", False),
    ],
)
def test_an_address_is_inside_or_outside(cidrs, address, inside):
    """What cannot be read is outside."""
    assert networks.holds(cidrs, address) is inside


@pytest.mark.parametrize(
    ("inner", "outer", "subset"),
    [
        (["10.1.0.0/16", "10.2.0.1"], ["10.0.0.0/8"], True),
        (["10.0.0.0/8"], ["10.1.0.0/16"], False),
        (["10.0.0.0/8", "fd00::/8"], ["10.0.0.0/8"], False),
        (["::/0"], ["0.0.0.0/0"], False),
        ([], ["10.0.0.0/8"], True),
    ],
)
def test_one_list_is_within_another_or_not(inner, outer, subset):
    """Every network of it inside one of the other's."""
    assert networks.is_subset(inner, outer) is subset


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (["10.0.0.0/8"], ["10.1.0.0/16", "11.0.0.0/8"], ["10.1.0.0/16"]),
        (["10.1.0.0/16"], ["10.0.0.0/8"], ["10.1.0.0/16"]),
        (["10.0.0.0/8"], ["10.0.0.0/8", "10.0.0.0/8"], ["10.0.0.0/8"]),
        (["10.0.0.0/8"], ["11.0.0.0/8"], []),
        (["::/0"], ["0.0.0.0/0"], []),
    ],
)
def test_two_lists_have_something_in_common_or_nothing(first, second, both):
    """The narrower of each pair that overlaps."""
    assert networks.overlap(first, second) == both


def test_an_address_as_a_network_of_its_own():
    """In the form in which it is compared; [] where it is none."""
    assert [networks.only(text) for text in ("10.0.0.1", "::ffff:10.0.0.1", "no")] == [["10.0.0.1"], ["10.0.0.1"], []]

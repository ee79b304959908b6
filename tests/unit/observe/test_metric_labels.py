"""A bounded number of label values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hookline.observe.metric_labels import OTHER_LABEL, Labels

NAMES = st.sets(st.sampled_from("abcdefgh"), max_size=8)


def test_the_first_in_alphabetical_order_have_labels() -> None:
    """What there is no place for is summed up under one label."""
    labels = Labels(2)
    labels.admit(["c", "a", "b"])
    assert ["a", "b", OTHER_LABEL] == [labels.of(name) for name in "abc"]


def test_a_name_that_is_gone_gives_its_place_back() -> None:
    """A newcomer gets the place; the old one is not shown any more, and comes back under what is left."""
    labels = Labels(1)
    labels.admit(["a"])
    labels.admit(["b"])
    assert [None, "b"] == [labels.of(name) for name in "ab"]
    labels.admit(["a", "b"])
    assert [OTHER_LABEL, "b"] == [labels.of(name) for name in "ab"]


def test_who_shares_a_label_stays_there() -> None:
    """A counter under the common label must not fall because one of its names found a place of its own."""
    labels = Labels(1)
    labels.admit(["a", "b"])
    labels.admit(["b"])
    assert OTHER_LABEL == labels.of("b")


@given(st.integers(0, 4), st.lists(NAMES, max_size=8))
def test_there_are_never_more_labels_than_places(most: int, rounds: list[set[str]]) -> None:
    """Whatever comes and goes: at most so many labels at a time, and every name that is there has one."""
    labels = Labels(most)
    for names in rounds:
        labels.admit(names)
        given_out = {labels.of(name) for name in names}
        assert None not in given_out
        assert len(given_out - {OTHER_LABEL}) <= most

"""A step of a history by the kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import pyarrow as pa

from schemas.cluster_kinds import GROUPS, PEOPLE, MemberKind
from tests.transforms.clusters.histories import Albums, Inputs, Libraries, State, time_of
from transforms.clusters.changing import Clustering
from transforms.clusters.events import derive_member_events
from transforms.people.deciding import decide_people
from transforms.similar_images.grouping import decide_similar_images, group_images, parted_images

Decide = Callable[[Inputs, State, datetime], tuple[pa.Table, pa.Table]]
"""What a step changes: of the clusters, and of the members."""
Derive = Callable[..., pa.Table]
"""derive_member_events."""
HISTORIES = {PEOPLE.name: Libraries, GROUPS.name: Albums}


def cluster(inputs: Inputs, state: State) -> Clustering:
    """What a kind's clusters are, by the kernels."""
    tables = inputs.tables
    if state.kind is PEOPLE:
        return decide_people(
            tables["groups"],
            faces=tables["faces"],
            edits=inputs.edits,
            old_clusters=state.clusters,
            old_members=state.members,
        )
    parted = parted_images(inputs.edits)
    groups = group_images(tables["images"], pairs=tables["pairs"], parted=parted)
    return decide_similar_images(groups, old_clusters=state.clusters, old_members=state.members)


def decide(inputs: Inputs, state: State, now: datetime) -> tuple[pa.Table, pa.Table]:
    """The changes of clusters and members, by the kernels."""
    found = cluster(inputs, state)
    changes = found.change_clusters(old_clusters=state.clusters, old_members=state.members, now=now)
    return changes, found.change_members(old_members=state.members)


def live(
    kind: MemberKind, *, datasets: int, decide: Decide = decide, derive: Derive = derive_member_events
) -> Iterator[State]:
    """Lives through the histories of a kind, and yields the state after each step. Erasing is a commit of its own."""
    state = State(kind)
    for step, inputs in HISTORIES[kind.name](kind, datasets).steps(state):
        erased = state.feed(state.erasing(inputs.erased), step=2 * step)
        state.erase(inputs.erased)
        clusters, members = decide(inputs, state, time_of(step))
        changed = state.feed(clusters, step=2 * step + 1)
        state.commit(clusters, members, killed=inputs.killed)
        told = derive(pa.concat_tables([erased, changed]), known=state.events, kind=kind.name)
        state.events = pa.concat_tables([state.events, told])
        yield state

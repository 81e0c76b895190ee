"""The people of large libraries, each by many tasks: the steps of transforms.people.grouping over shares of the faces.

No task holds all faces, and none comes to the driver. What every share needs is sent to each: pivots; the groups whose
neighbours are sought; the references of people. What has to be decided in one place is decided over groups of faces:
linkage, of the neighbours that the shares found, and the references. All steps are sums and comparisons of whole
numbers, so the people are those that `group_faces` finds; but of neighbours that are exactly as near, where more are
than are kept, others may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from transforms.graphs.components import Checkpoint, Log
from transforms.people.grouping import (
    Groups,
    Merged,
    Profile,
    References,
    Spread,
    candidate,
    centrality,
    group_cell,
    join,
    merge_looks,
    merge_people,
    near_people,
    nearest_pivot,
    references_of_looks,
)
from transforms.people.linkage import (
    Limits,
    add_up,
    compact,
    distinct,
    grid,
    linkage,
    near_pairs,
    nearest_pairs,
    row_hash,
)
from transforms.tables.arrow_tables import (
    ArrowBatches,
    from_matrix,
    gather_tables,
    is_first,
    split_datasets,
    to_matrix,
    whole_datasets,
)

ROWS_AT_ONCE = 10_000
"""Faces that come to Python together where it may choose."""

_NEAR = "place long, other long, near float"
"""Groups that are near, by their places in the order of their numbers, and how near (linkage.near_pairs)."""
_STEP = "number long, into long, sums binary, weight double, row binary, scale double, asks boolean"
"""What has become of a group (or a face): the number of the group that it went `into`. One row of each such group tells
what that is: its sums, float64 (d,), its weight, its grid row, int16 (d,), by how much its cosines are longer, and
whether its neighbours are sought; in the others these are null."""
_REFERENCE = "place long, person long, row binary, clarity double, founders binary, directions binary"
"""A reference of people.References: whose, and its grid row, int16 (d,). The last of each person has the person's
clarity and the sum of the founders' rows, float64 (d,); that at place 0 the directions, float64 (d, q)."""

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Told:
    """What groups are: the columns of _STEP."""

    sums: Numbers
    weight: Numbers
    row: Numbers
    scale: Numbers
    asks: Numbers

    @classmethod
    def of(cls, groups: Groups, sums: Numbers, weight: Numbers, asks: Numbers | None = None) -> Told:
        """Groups with the sums and weights to go on with; `asks`: those whose neighbours are sought, None for all."""
        all_or_some = np.full(len(weight), asks is None)
        if asks is not None:
            all_or_some[asks] = True
        return cls(sums, weight, grid(groups.vectors), groups.scale(), all_or_some)


Linking = Callable[[Numbers, Numbers, Numbers, Numbers, Numbers], tuple[Numbers, Told]]
"""From the sums and weights of groups, by their numbers, the pairs of places that are near, and the places that may be
near to more: the group, from 0, that each goes into, and what these are."""


@dataclass(frozen=True)
class LargeLibraries:
    """How large libraries are grouped: `key` (column names) tells them apart.

    What is sent to tasks refers to these one by one, never to the whole, which may hold a session.
    """

    key: Sequence[str]
    profile: Profile
    limits: Limits
    checkpoint: Checkpoint
    log: Log

    def group(self, faces: DataFrame) -> DataFrame:
        """One row per face of a person: `key`, `figure_id`, `representative`, `confidence`, `role`.

        `faces` has `key`, `figure_id`, `uri`, `embedding`, `is_good`, `face_quality`.
        """
        rows = self._of_one_length(self.checkpoint(self._put_on_grid(faces)))
        rows = self.checkpoint(self._number(rows))
        good = rows.where("is_good")
        celled = self.checkpoint(self._group_cells(self._find_cells(good.select(*self.key, "number", "row"))))
        looks, people = self._group_groups(celled)
        of_look = self._follow(looks.select(*self.key, "number", "into"), people)
        of_good = self._follow(celled.select(*self.key, "number", "into"), of_look)
        of_good = self.checkpoint(of_good.withColumnRenamed("into", "person"))
        founding = F.broadcast(self.checkpoint(self._founding(of_good, good)))
        founders = of_good.join(founding, [*self.key, "person"], how="left_semi")
        of_looks = people.withColumnRenamed("into", "person").join(founding, [*self.key, "person"], how="left_semi")
        references = self.checkpoint(self._references(_groups(looks, self.key), of_looks, rows))
        found = self.checkpoint(self._join(rows.join(founders, [*self.key, "number"], how="left"), references))
        nearest = F.min_by("figure_id", F.struct(-F.col("centrality"), "number")).alias("representative")
        named = found.where("role = 'founder'").groupBy(*self.key, "person").agg(nearest)
        found = found.join(named, [*self.key, "person"], how="inner")
        return found.select(*self.key, "figure_id", "representative", "confidence", "role")

    # ---------------------------------------------------------------- rows

    def _of_one_length(self, rows: DataFrame) -> DataFrame:
        """Those whose embeddings are as long as most of the library's; of two lengths as frequent, the longer."""
        rows = rows.withColumn("_length", F.octet_length("row"))
        counts = rows.groupBy(*self.key, "_length").count()
        most = counts.groupBy(*self.key).agg(F.max_by("_length", F.struct("count", "_length")).alias("_length"))
        return rows.join(F.broadcast(most), [*self.key, "_length"], how="left_semi").drop("_length")

    def _put_on_grid(self, faces: DataFrame) -> DataFrame:
        """Faces with their grid row, int16 (d,), and its `hash`, for their embedding."""
        kept = [*self.key, "figure_id", "uri", "is_good", "face_quality"]

        def put(batches: ArrowBatches) -> Iterator[pa.RecordBatch]:
            for table in gather_tables(batches, ROWS_AT_ONCE):
                lengths = pc.list_value_length(table["embedding"]).to_numpy()
                for length in np.unique(lengths):
                    alike = table.filter(pa.array(lengths == length))
                    values = alike["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
                    row = grid(values.reshape(len(alike), length))
                    alike = alike.select(kept).append_column("hash", pa.array(row_hash(row).view(np.int64)))
                    yield from alike.append_column("row", from_matrix(row.astype(np.int16))).to_batches()

        fields = ", ".join(f"{name} {faces.schema[name].dataType.simpleString()}" for name in kept)
        return faces.select(*kept, "embedding").mapInArrow(put, f"{fields}, hash long, row binary")

    def _number(self, rows: DataFrame) -> DataFrame:
        """Rows with the `number` of good ones, from 0, in the order that `group_faces` gives them."""
        hashed = F.struct(F.col("hash") < 0, "hash")  # it has no sign: what looks negative comes last
        order = Window.partitionBy(*self.key).orderBy(hashed, "uri", "figure_id")
        slim = rows.where("is_good").select(*self.key, "figure_id", "uri", "hash")
        numbers = slim.select(*self.key, "figure_id", (F.row_number().over(order) - 1).cast("long").alias("number"))
        return rows.drop("hash").join(numbers, [*self.key, "figure_id"], how="left")

    def _add_shares(self, rows: DataFrame, by: str) -> DataFrame:
        """Rows with their library's `_rows` and `_shares`, and the `_share` that they are in, by a column's hash."""
        counts = rows.groupBy(*self.key).agg(F.count("*").alias("_rows"))
        counts = counts.withColumn("_shares", F.ceil(F.col("_rows") / self.limits.faces_per_share).cast("int"))
        rows = rows.join(F.broadcast(counts), list(self.key), how="inner")
        return rows.withColumn("_share", F.pmod(F.xxhash64(by), "_shares").cast("int"))

    def _beside(self, rows: DataFrame, shared: DataFrame, do: Callable[..., pa.Table], schema: str) -> DataFrame:
        """What is done with each share of the rows beside all of `shared`; both have `_shares`."""
        group = (*self.key, "_share")
        every = F.explode(F.sequence(F.lit(0), F.col("_shares") - 1)).alias("_share")
        everywhere = shared.drop("_share").select("*", every)
        everywhere = everywhere.toDF(*everywhere.columns)  # columns of its own, where both come of one frame
        return rows.groupBy(*group).cogroup(everywhere.groupBy(*group)).applyInArrow(do, self._schema(rows, schema))

    def _schema(self, frame: DataFrame, columns: str) -> str:
        key = [f"{name} {frame.schema[name].dataType.simpleString()}" for name in self.key]
        return ", ".join([*key, columns])

    # ---------------------------------------------------------------- looks

    def _find_cells(self, good: DataFrame) -> DataFrame:
        """Good faces with the number of their `cell`'s pivot, -1 for none (people.cells)."""
        none = F.lit(-1).cast("long").alias("cell")
        many = good.groupBy(*self.key).count().where(F.col("count") > self.limits.cells_from).select(*self.key)
        many = F.broadcast(self.checkpoint(many))
        found = [good.join(many, list(self.key), how="left_anti").select("*", none)]
        left = good.join(many, list(self.key), how="left_semi")
        for every in self.limits.pivot_every:
            compared = self.checkpoint(self._compare_with_pivots(left, every))
            found.append(compared.where("cell >= 0"))
            left = compared.where("cell < 0").drop("cell")
        return reduce(DataFrame.unionByName, [*found, left.select("*", none)])

    def _compare_with_pivots(self, left: DataFrame, every: int) -> DataFrame:
        """The rows left with the `cell` of the nearest pivot: the first ones, one of so many."""
        key, low, limits = self.key, self.profile.look, self.limits

        def compare(rows: pa.Table, pivots: pa.Table) -> pa.Table:
            pivots = pivots.sort_by("number")
            x, among = (to_matrix(each["row"], np.int16).astype(np.float32) for each in (rows, pivots))
            near = [nearest_pivot(x[a : a + limits.block], among, low) for a in range(0, len(x), limits.block)]
            cell = np.append(pivots["number"].to_numpy(), -1)[np.concatenate(near)]
            return rows.select([*key, "number", "row"]).append_column("cell", pa.array(cell))

        turn = F.row_number().over(Window.partitionBy(*self.key).orderBy("number"))
        rows = self._add_shares(left.select("*", turn.alias("_turn")), by="number")
        pivots = rows.where(F.col("_turn") <= F.greatest(F.lit(1), F.expr(f"_rows div {every}")))
        pivots = pivots.select(*self.key, "_shares", "number", "row")
        return self._beside(rows.drop("_turn"), pivots, compare, "number long, row binary, cell long")

    def _group_cells(self, rows: DataFrame) -> DataFrame:
        """Good faces put together in every cell, or part of one: _STEP. A face without a cell is a group of its own."""
        inside = Window.partitionBy(*self.key, "cell").orderBy("number")
        part = F.floor((F.row_number().over(inside) - 1) / self.limits.cell_max).alias("part")
        cell, key, profile, limits = (*self.key, "cell", "part"), self.key, self.profile, self.limits

        def group(batches: ArrowBatches) -> Iterator[pa.RecordBatch]:
            for table in whole_datasets(batches, key=cell, rows=ROWS_AT_ONCE):
                for library in split_datasets(table, key=key):
                    yield from _group_cells(library, key, profile, limits).to_batches()

        rows = rows.select("*", part)
        rows = rows.repartition(*cell).sortWithinPartitions(*cell, "number")
        return rows.mapInArrow(group, self._schema(rows, _STEP))

    def _group_groups(self, celled: DataFrame) -> tuple[DataFrame, DataFrame]:
        """Groups of good faces put together to looks: _STEP; and these to people: `key`, `number`, `into`."""
        profile, limits = self.profile, self.limits

        def link(sums: Numbers, count: Numbers, i: Numbers, j: Numbers, full: Numbers) -> tuple[Numbers, Told]:
            look = linkage(sums, count, i, j, profile.look)
            sums, count = add_up(sums, look)[0], np.bincount(look, weights=count)
            return look, Told.of(Groups.of_looks(sums, count, profile), sums, count)

        def merge(sums: Numbers, weight: Numbers, i: Numbers, j: Numbers, full: Numbers) -> tuple[Numbers, Told]:
            return _told(merge_people(Groups(sums, weight), i, j, full, profile=profile))

        def merge_first(sums: Numbers, count: Numbers, i: Numbers, j: Numbers, full: Numbers) -> tuple[Numbers, Told]:
            return _told(merge_looks(sums, count, i, j, full, profile=profile))

        looks = self._put_together(_groups(celled, self.key), candidate(profile.look, limits), link)
        step = self._put_together(_groups(looks, self.key), near_people(profile, limits), merge_first)
        people, rounds = step.select(*self.key, "number", "into"), 0
        while asking := step.where("asks").count():
            self.log("people", rounds, asking)
            step = self._put_together(_groups(step, self.key), near_people(profile, limits), merge)
            people, rounds = self.checkpoint(self._follow(people, step)), rounds + 1
        return looks, people

    def _put_together(self, groups: DataFrame, low: float, how: Linking) -> DataFrame:
        """Groups put together by their neighbours at `low` or above: _STEP."""

        key, limits = list(self.key), self.limits

        def put(groups: pa.Table, near: pa.Table) -> pa.Table:
            groups = groups.sort_by("number")
            i, j, nearness = (near[name].to_numpy() for name in ("place", "other", "near"))
            sums, weight = to_matrix(groups["sums"], np.float64), groups["weight"].to_numpy()
            label, told = how(sums, weight, *nearest_pairs(i, j, nearness, len(groups), limits, _asking(groups)))
            number = groups["number"].to_numpy()
            return _step(groups.select(key), number, np.arange(len(told.weight)), label, told)

        near = self._near(groups, low).groupBy(*self.key)
        return self.checkpoint(groups.groupBy(*self.key).cogroup(near).applyInArrow(put, self._schema(groups, _STEP)))

    def _near(self, groups: DataFrame, low: float) -> DataFrame:
        """The pairs of groups, at `low` or above, of which one asks for its neighbours: _NEAR."""
        shares = F.ceil(F.count_if("asks") / self.limits.groups_per_share).cast("int").alias("_shares")
        asked = groups.groupBy(*self.key).agg(shares).where("_shares > 0")
        every = F.explode(F.sequence(F.lit(0), F.col("_shares") - 1)).alias("_share")
        everywhere = groups.join(F.broadcast(asked), list(self.key), how="inner")
        everywhere = everywhere.select(*self.key, "number", "row", "scale", "asks", "_shares", every)

        key, limits = list(self.key), self.limits

        def find(table: pa.Table) -> pa.Table:
            share, shares = (table[name][0].as_py() for name in ("_share", "_shares"))
            table = table.sort_by("number")
            x = to_matrix(table["row"], np.int16).astype(np.float32)
            place, other, near = near_pairs(x, low, limits, table["scale"].to_numpy(), _asking(table), share, shares)
            pairs = {"place": place, "other": other, "near": near.astype(np.float32)}
            return _with_key(table.select(key), **{name: pa.array(column) for name, column in pairs.items()})

        return everywhere.groupBy(*self.key, "_share").applyInArrow(find, self._schema(groups, _NEAR))

    # ---------------------------------------------------------------- people

    def _follow(self, labels: DataFrame, step: DataFrame) -> DataFrame:
        """Labels (`key`, `number`, `into`) followed by one step more."""
        further = step.select(*self.key, F.col("number").alias("into"), F.col("into").alias("_further"))
        followed = labels.join(further, [*self.key, "into"], how="inner")
        return followed.select(*self.key, "number", F.col("_further").alias("into"))

    def _founding(self, of_good: DataFrame, good: DataFrame) -> DataFrame:
        """The people (`key`, `person`) with good faces in as many images as found one."""
        images = of_good.join(good.select(*self.key, "number", "uri"), [*self.key, "number"], how="inner")
        images = images.groupBy(*self.key, "person").agg(F.count_distinct("uri").alias("images"))
        return images.where(F.col("images") >= self.profile.founders).select(*self.key, "person")

    def _references(self, looks: DataFrame, people: DataFrame, rows: DataFrame) -> DataFrame:
        """The references of people (of looks: `key`, `number`, `person`): _REFERENCE."""
        key, profile = list(self.key), self.profile
        looks = self.checkpoint(looks.join(people, [*self.key, "number"], how="inner"))

        def refer(looks: pa.Table, spreads: pa.Table) -> pa.Table:
            looks = looks.sort_by("number")
            person, owner = np.unique(looks["person"].to_numpy(), return_inverse=True)
            sums, count = to_matrix(looks["sums"], np.float64), looks["weight"].to_numpy()
            directions = _add_spreads(spreads).drift()
            people = references_of_looks(sums, count, owner, directions, profile)
            place = np.arange(len(people.rows))
            is_last = np.append(np.diff(people.owner) > 0, True)
            clarity = np.zeros(len(place))
            clarity[is_last] = people.clarity
            return _with_key(
                looks.select(key),
                place=pa.array(place),
                person=pa.array(person[people.owner]),
                row=from_matrix(people.rows.astype(np.int16)),
                clarity=pa.array(clarity, mask=~is_last),
                founders=from_matrix(add_up(sums, owner)[0], at=is_last),
                directions=from_matrix(directions.reshape(1, -1), at=place == 0),
            )

        with_people = F.broadcast(looks.select(*self.key).distinct())
        spreads = self._spreads(rows.join(with_people, list(self.key), how="left_semi"))
        together = looks.groupBy(*self.key).cogroup(spreads.groupBy(*self.key))
        return together.applyInArrow(refer, self._schema(looks, _REFERENCE))

    def _spreads(self, rows: DataFrame) -> DataFrame:
        """How faces vary (people.Spread), a row a share."""

        key = list(self.key)

        def add(table: pa.Table) -> pa.Table:
            spread = Spread.of(to_matrix(table["row"], np.int16), table["is_good"].to_numpy())
            return _with_key(
                table.select(key),
                poor=from_matrix(spread.poor.reshape(1, -1)),
                good=from_matrix(spread.good.reshape(1, -1)),
                poor_faces=pa.array([spread.poor_faces]),
                good_faces=pa.array([spread.good_faces]),
            )

        rows = self._add_shares(rows.select(*self.key, "figure_id", "is_good", "row"), by="figure_id")
        schema = self._schema(rows, "poor binary, good binary, poor_faces long, good_faces long")
        return rows.groupBy(*self.key, "_share").applyInArrow(add, schema)

    def _join(self, rows: DataFrame, references: DataFrame) -> DataFrame:
        """Founders, whose `person` is known, and the faces that join: `person`, `confidence`, `role`, `centrality`."""
        key, profile, limits = self.key, self.profile, self.limits

        def compare(rows: pa.Table, references: pa.Table) -> pa.Table:
            references = references.sort_by("place")
            ids, people, sums = _read_references(references, profile)
            x, is_founder = to_matrix(rows["row"], np.int16).astype(np.float32), rows["person"].is_valid().to_numpy()
            founders, rest = np.flatnonzero(is_founder), np.flatnonzero(~is_founder)
            who = np.full(len(x), -1)
            who[founders] = np.searchsorted(ids, rows["person"].drop_null().to_numpy())
            sure, central = np.ones(len(x), np.float32), np.zeros(len(x))
            central[founders] = centrality(x[founders], sums[who[founders]])
            good, quality = rows["is_good"].to_numpy(), rows["face_quality"].cast(pa.float64()).to_numpy()
            who[rest], sure[rest] = join(x[rest], good[rest], quality[rest], people, profile, limits)
            member = np.flatnonzero(who >= 0)
            kept = rows.select([*key, "figure_id", "number"]).take(pa.array(member))
            columns = {
                "person": pa.array(ids[who[member]]),
                "confidence": pa.array(sure[member].astype(np.float64)),
                "role": pa.array(np.where(is_founder[member], "founder", "joined")),
                "centrality": pa.array(central[member]),
            }
            return pa.table([*kept.columns, *columns.values()], names=[*kept.column_names, *columns])

        with_people = F.broadcast(references.select(*self.key).distinct())
        rows = self._add_shares(rows.drop("uri").join(with_people, list(self.key), how="left_semi"), by="figure_id")
        shares = F.broadcast(rows.select(*self.key, "_shares").distinct())
        shared = references.join(shares, list(self.key), how="inner")
        schema = "figure_id string, number long, person long, confidence double, role string, centrality double"
        return self._beside(rows, shared, compare, schema)


def _group_cells(table: pa.Table, key: Sequence[str], profile: Profile, limits: Limits) -> pa.Table:
    """_STEP of faces of one library in the order of cells, their parts, and numbers."""
    x = to_matrix(table["row"], np.int16).astype(np.float32)
    first = np.arange(len(x))
    starts = np.flatnonzero(is_first(table, key=("cell", "part")))
    is_cell = table["cell"].to_numpy()[starts] >= 0
    for start, end in zip(starts[is_cell], np.append(starts, len(x))[1:][is_cell], strict=True):
        first[start:end] = start + group_cell(x[start:end], profile, limits)
    label = compact(first)
    sums, count = add_up(x, label)
    number = table["number"].to_numpy()
    told = Told(sums, count, grid(sums), np.ones(len(count)), np.ones(len(count), bool))
    return _step(table.select(list(key)), number, number[distinct(first)], label, told)


def _asking(groups: pa.Table) -> Numbers | None:
    """The places of those groups whose neighbours are sought; None where all are."""
    asks = groups["asks"].to_numpy()
    return None if asks.all() else np.flatnonzero(asks)


def _groups(step: DataFrame, key: Sequence[str]) -> DataFrame:
    """The groups that a step (_STEP) has made, by their numbers."""
    told = step.where(F.col("sums").isNotNull())
    return told.select(*key, F.col("into").alias("number"), "sums", "weight", "row", "scale", "asks")


def _told(merged: Merged) -> tuple[Numbers, Told]:
    groups = merged.groups
    return merged.label, Told.of(groups, groups.vectors, groups.weight, merged.asks)


def _step(key: pa.Table, number: Numbers, names: Numbers, label: Numbers, told: Told) -> pa.Table:
    """_STEP of groups of one library by the labels, from 0, of what they went into, whose numbers are `names`."""
    order = np.argsort(label, kind="stable")
    is_teller = np.zeros(len(label), bool)
    is_teller[order[np.searchsorted(label[order], np.arange(len(told.weight)))]] = True
    tells = label[is_teller]
    return _with_key(
        key,
        number=pa.array(number),
        into=pa.array(names[label]),
        sums=from_matrix(told.sums[tells], at=is_teller),
        weight=_at(told.weight[tells], is_teller),
        row=from_matrix(told.row[tells].astype(np.int16), at=is_teller),
        scale=_at(told.scale[tells], is_teller),
        asks=_at(told.asks[tells], is_teller),
    )


def _at(values: Numbers, at: Numbers) -> pa.Array:
    spread = np.zeros(len(at), values.dtype)
    spread[at] = values
    return pa.array(spread, mask=~at)


def _with_key(key: pa.Table, **columns: Any) -> pa.Table:
    """Columns about one library, with its key, which is that of all rows of `key`."""
    rows = len(next(iter(columns.values())))
    keys = {name: pa.array([key[name][0].as_py()] * rows, key.schema.field(name).type) for name in key.column_names}
    return pa.table({**keys, **columns})


def _add_spreads(spreads: pa.Table) -> Spread:
    poor, good = (to_matrix(spreads[name], np.float64).sum(axis=0) for name in ("poor", "good"))
    d = int(len(poor) ** 0.5)
    counts = (pc.sum(spreads[name]).as_py() for name in ("poor_faces", "good_faces"))
    return Spread(poor.reshape(d, d), good.reshape(d, d), *counts)


def _read_references(references: pa.Table, profile: Profile) -> tuple[Numbers, References, Numbers]:
    """From _REFERENCE in order of place: the people's ids; the references; the sums of the founders' rows."""
    ids, owner = np.unique(references["person"].to_numpy(), return_inverse=True)
    rows = to_matrix(references["row"], np.int16).astype(np.float32)
    directions = to_matrix(references["directions"].drop_null(), np.float64).reshape(rows.shape[1], -1)
    people = References(rows, owner, references["clarity"].drop_null().to_numpy(), directions, threshold=0.0)
    sums = to_matrix(references["founders"].drop_null(), np.float64)
    return ids, replace(people, threshold=people.limit(profile)), sums

"""The settings of a lake: chosen when it is made, kept as properties of its `datasets` table."""

from __future__ import annotations

from dataclasses import dataclass, fields

from schemas.errors import LakeError, UsageError

PREFIX = "lakealbum."


@dataclass(frozen=True)
class LakeSettings:
    """What holds for every table and job of one lake."""

    buckets: int = 16
    """Partitions of the large tables: 16 for one machine, up to 1024 for hundreds of millions of files."""
    language: str = "en"
    """Language of the addresses."""
    time_zone: str = "UTC"
    """Zone of files that are only an instant and lie nowhere."""
    nearest_limit_m: int = 5_000
    """Metres within which a point that lies in no area takes the nearest one."""

    def __post_init__(self) -> None:
        if not 16 <= self.buckets <= 1024:
            raise UsageError(f"buckets: {self.buckets} is not accepted; 16 to 1024 are")
        if not 0 <= self.nearest_limit_m <= 50_000:
            raise UsageError(f"nearest_limit_m: {self.nearest_limit_m} is not accepted; 0 to 50000 metres are")

    def as_properties(self) -> dict[str, str]:
        """The settings as table properties."""
        return {PREFIX + f.name: str(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_properties(cls, properties: dict[str, str], where: str) -> LakeSettings:
        """The settings of the lake whose `datasets` table, at `where`, has these properties."""
        missing = [f.name for f in fields(cls) if PREFIX + f.name not in properties]
        if missing:
            raise LakeError(f"{where} lacks the lake's settings {', '.join(missing)}: run `lakealbum migrate`")
        return cls(
            buckets=int(properties[PREFIX + "buckets"]),
            language=properties[PREFIX + "language"],
            time_zone=properties[PREFIX + "time_zone"],
            nearest_limit_m=int(properties[PREFIX + "nearest_limit_m"]),
        )

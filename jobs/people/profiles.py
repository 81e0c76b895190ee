"""The profile that it takes to group faces of an embedding model."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.people.face_models import family_names, profile_of, read_family
from transforms.people.grouping import Profile


@dataclass(frozen=True)
class Profiles:
    """The profiles that a run may take: the one that it was told, or else each model's, and the defaults without."""

    told: Profile | None = None

    def of(self, model: str | None) -> Profile:
        """The profile for faces of a model (`figures.model`), which may be none of ours, or not named."""
        return self.told or (model and profile_of(model)) or Profile()

    def known(self) -> dict[str, Profile]:
        """All of them, by the family of models; the defaults' name is empty."""
        families = {} if self.told else {name: read_family(name).profile for name in family_names()}
        return {"": self.told or Profile(), **families}

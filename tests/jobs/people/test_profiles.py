"""Which profile faces of a model get."""

import json

import pytest

from jobs.cluster_figures import ClusterFigures
from jobs.people.face_models import DEFAULT_FAMILY, read_family
from jobs.people.profiles import Profiles
from transforms.people.grouping import Profile


def test_a_model_s_own_profile_unless_one_is_told() -> None:
    own = read_family(DEFAULT_FAMILY).profile
    assert own != Profile()
    assert own.stranger_sd == pytest.approx(1 / 128**0.5, rel=0.01)  # directions at random, as 128 numbers have them
    assert Profiles().of(f"{DEFAULT_FAMILY}/7") == own
    assert Profiles().of(None) == Profiles().of("somebody-elses/1") == Profile()
    told = Profile(person=0.61)
    assert Profiles(told).of(f"{DEFAULT_FAMILY}/7") == Profiles(told).of(None) == told


def test_the_options_in_force_tell_all_profiles_that_may_be_taken() -> None:
    families = json.loads(ClusterFigures(lake="x").options)["families"]
    assert families[DEFAULT_FAMILY]["person"] == read_family(DEFAULT_FAMILY).profile.person
    told = json.loads(ClusterFigures(lake="x", profile=Profile(person=0.61)).options)
    assert told["profile"]["person"] == 0.61
    assert "families" not in told

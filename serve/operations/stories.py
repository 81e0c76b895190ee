"""Stories. A lake has none yet: what asks for stories finds none, and what makes one is not supported."""

from __future__ import annotations

from serve.errors import not_found
from serve.operations.parameters import (
    NEXT_TOKEN,
    ORDER,
    choice,
    flag,
    label_filter,
    mapping,
    max_results,
    record,
    records,
    text,
    texts,
    time_range,
)
from serve.operations.registry import Context, Fields, Params, operation

_NONE_YET = "There are no stories yet: CreateStory and CreateCustomizedStory are not supported."
_OBJECT_ID = text("ObjectId").must
_FILES = records("Files", text("URI").must, least=1, most=100).must


@operation(
    "QueryStories",
    "dataset",
    time_range("CreateTimeRange"),
    label_filter("CustomLabels"),
    texts("FigureClusterIds"),
    max_results(least=1),
    NEXT_TOKEN,
    text("ObjectId"),
    ORDER,
    choice("Sort", "CreateTime", "StoryName", "StoryStartTime", "StoryEndTime"),
    time_range("StoryEndTimeRange"),
    text("StoryName"),
    time_range("StoryStartTimeRange"),
    text("StorySubType"),
    text("StoryType"),
    flag("WithEmptyStories"),
    differs=_NONE_YET,
)
def query_stories(context: Context, params: Params) -> Fields:
    """The stories that fit: none."""
    return {"Stories": [], "NextToken": ""}


@operation("GetStory", "dataset", _OBJECT_ID, differs=_NONE_YET)
def get_story(context: Context, params: Params) -> Fields:
    """Tells of a story that is not there."""
    raise not_found("Story", params["ObjectId"][:200])


@operation(
    "UpdateStory",
    "dataset",
    record("Cover", text("URI")),
    text("CustomId"),
    mapping("CustomLabels"),
    _OBJECT_ID,
    text("StoryName"),
    differs=_NONE_YET,
)
def update_story(context: Context, params: Params) -> Fields:
    """Changes a story that is not there."""
    raise not_found("Story", params["ObjectId"][:200])


@operation("DeleteStory", "dataset", _OBJECT_ID, differs=_NONE_YET)
def delete_story(context: Context, params: Params) -> Fields:
    """Deletes a story. One that is not there is as good."""
    return {}


@operation("AddStoryFiles", "dataset", _FILES, _OBJECT_ID, differs=_NONE_YET)
def add_story_files(context: Context, params: Params) -> Fields:
    """Adds files to a story that is not there."""
    raise not_found("Story", params["ObjectId"][:200])


@operation("RemoveStoryFiles", "dataset", _FILES, _OBJECT_ID, differs=_NONE_YET)
def remove_story_files(context: Context, params: Params) -> Fields:
    """Takes files out of a story that is not there."""
    raise not_found("Story", params["ObjectId"][:200])

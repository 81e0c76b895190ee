"""The version of LakeAlbum, as runs record it and the wheel carries it."""

VERSION = "0.1.0"

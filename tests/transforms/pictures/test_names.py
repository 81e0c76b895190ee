"""`transforms.pictures.names`: which dates names tell, and which they do not."""

from __future__ import annotations

import unicodedata
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.pictures.names import read_name

PROGRAMS = [
    ("IMG_20160612_112853.jpg", "2016-06-12T11:28:53"),  # Android
    ("IMG_20160612_112853123.jpg", "2016-06-12T11:28:53.123"),
    ("20160612_112853.jpg", "2016-06-12T11:28:53"),  # Samsung
    ("20160612_112853(0).jpg", "2016-06-12T11:28:53"),
    ("MVIMG_20180101_101010.jpg", "2018-01-01T10:10:10"),  # Pixel, motion photos
    ("PXL_20250615_143621025.jpg", "2025-06-15T14:36:21.025Z"),  # Pixel, UTC
    ("PXL_20250615_143621025.MP.jpg", "2025-06-15T14:36:21.025Z"),
    ("PXL_20250615_143621025.NIGHT~2.jpg", "2025-06-15T14:36:21.025Z"),
    ("VID_20160612_112853.mp4", "2016-06-12T11:28:53"),
    ("PANO_20160612_112853.vr.jpg", "2016-06-12T11:28:53"),
    ("DSC_0001_BURST20130809101112345.JPG", "2013-08-09T10:11:12.345"),  # Sony
    ("DJI_20230809101112_0001_D.JPG", "2023-08-09T10:11:12"),
    ("WP_20130809_10_11_12_Pro.jpg", "2013-08-09T10:11:12"),  # Windows Phone
    ("C360_2013-08-09-10-11-12-345.jpg", "2013-08-09T10:11:12.345"),
    ("2013-08-09 10.11.12.jpg", "2013-08-09T10:11:12"),  # Dropbox
    ("Photo 2013-08-09 10 11 12.jpg", "2013-08-09T10:11:12"),
    ("signal-2023-08-09-101112.jpg", "2023-08-09T10:11:12"),
    ("signal-2023-08-09-10-11-12-345.jpg", "2023-08-09T10:11:12.345"),
    ("signal-2023-08-09-10-11-12-345-1.jpg", "2023-08-09T10:11:12.345"),
    ("photo_2023-08-09_10-11-12.jpg", "2023-08-09T10:11:12"),  # Telegram
    ("photo_2023-08-09_10-11-12 (2).jpg", "2023-08-09T10:11:12"),
    ("video_2023-08-09_10-11-12.mp4", "2023-08-09T10:11:12"),
    ("photo_2@09-08-2023_10-11-12.jpg", "2023-08-09T10:11:12"),  # Telegram's desktop
    ("mmexport1691575872123.jpg", "2023-08-09T10:11:12.123Z"),  # WeChat
    ("wx_camera_1691575872123.jpg", "2023-08-09T10:11:12.123Z"),
    ("FB_IMG_1691575872123.jpg", "2023-08-09T10:11:12.123Z"),  # Facebook
    ("20230809_101112345_iOS.heic", "2023-08-09T10:11:12.345Z"),  # OneDrive, UTC
    ("Screenshot_20130809-101112_WhatsApp.jpg", "2013-08-09T10:11:12"),  # Android
    ("Screenshot_2013-08-09-10-11-12-123_com.android.png", "2013-08-09T10:11:12.123"),
    ("Screenshot 2023-08-09 101112.png", "2023-08-09T10:11:12"),  # Windows
    ("Capture d'écran 2023-08-09 101112.png", "2023-08-09T10:11:12"),
    ("Screen Shot 2014-01-02 at 3.04.05 pm.png", "2014-01-02T15:04:05"),  # macOS
    ("Screenshot 2023-08-09 at 10.11.12 PM.png", "2023-08-09T22:11:12"),
    ("Screenshot 2023-08-09 at 12.11.12\u202fAM.png", "2023-08-09T00:11:12"),
    ("Bildschirmfoto 2023-08-09 um 10.11.12.png", "2023-08-09T10:11:12"),
    ("Capture d\u2019écran 2023-08-09 à 10.11.12.png", "2023-08-09T10:11:12"),
    ("Captura de pantalla 2023-08-09 a las 10.11.12.png", "2023-08-09T10:11:12"),
    ("スクリーンショット 2023-08-09 10.11.12.png", "2023-08-09T10:11:12"),
    ("截屏2023-08-09 10.11.12.png", "2023-08-09T10:11:12"),
    ("スクリーンショット 2023-08-09 午後10.11.12.png", "2023-08-09T22:11:12"),
    ("截屏2023-08-09 下午1.11.12.png", "2023-08-09T13:11:12"),
    ("截圖 2023-08-09 上午12.11.12.png", "2023-08-09T00:11:12"),
    ("스크린샷 2023-08-09 오후 1.11.12.png", "2023-08-09T13:11:12"),
    (unicodedata.normalize("NFD", "스크린샷 2023-08-09 오전 12.11.12.png"), "2023-08-09T00:11:12"),  # as macOS keeps it
    ("2023-08-09_10-11-12_UTC.jpg", "2023-08-09T10:11:12Z"),  # Instaloader
    ("20230809T101112Z.jpg", "2023-08-09T10:11:12Z"),
    ("line_1691575872123.jpg", "2023-08-09T10:11:12.123Z"),  # LINE
    ("WhatsApp Image 2019-07-21 at 9.11.12 PM (1).jpeg", "2019-07-21T21:11:12"),
    ("WhatsApp Bild 2019-07-21 um 10.11.12.jpeg", "2019-07-21T10:11:12"),
    ("19650704_101112.jpg", "1965-07-04T10:11:12"),
]
DAYS = [
    ("IMG-20190721-WA0001.jpg", "2019-07-21"),  # WhatsApp
    ("IMG-20190721-WA123456.jpg", "2019-07-21"),
    ("VID-20190721-WA0012.mp4", "2019-07-21"),
    ("1950-06-01 scan.jpg", "1950-06-01"),
    ("20190721_0001.jpg", "2019-07-21"),
]
NOTHING = [
    "IMG_1234.jpg",
    "IMG_20161332_112853.jpg",
    "IMG_20160230_112853.jpg",
    "IMG_20160612_252853.jpg",
    "Screenshot 2023-08-09 at 13.11.12 PM.png",
    "2016-02-30 10.11.12.jpg",
    "00000000_000000.jpg",
    "17000101_101010.jpg",
    "12345678.jpg",
    "1691575872123.jpg",
    "FB_IMG_9999999999999.jpg",
    "photo_2@31-02-2023_10-11-12.jpg",
    "0123456789012345.jpg",
    "Photo on 09-08-2013 at 10.11.jpg",
    "Screenshot (12).png",
    "1920x1080.jpg",
]


@pytest.mark.parametrize(("name", "text"), PROGRAMS)
def test_times(name: str, text: str) -> None:
    (taken,) = read_name(name).times
    assert (taken.text, taken.source) == (text, "name")
    assert taken.time_is == ("instant" if text.endswith("Z") else "local")


@pytest.mark.parametrize(("name", "day"), DAYS)
def test_days_are_told_as_such(name: str, day: str) -> None:
    (taken,) = read_name(name).times
    assert (taken.text, taken.time_is, taken.source) == (day + "T12:00:00", "local", "name_day")


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_no_date_is_not_taken(name: str) -> None:
    assert read_name(name).times == ()


@given(
    st.datetimes(datetime(1826, 1, 1), datetime(2099, 12, 31)),
    st.sampled_from(["IMG_%Y%m%d_%H%M%S", "%Y-%m-%d %H.%M.%S", "signal-%Y-%m-%d-%H%M%S", "x %Y-%m-%d at %I.%M.%S %p"]),
)
def test_a_date_that_is_written_is_read(moment: datetime, form: str) -> None:
    name = form.replace("%Y", f"{moment.year:04d}")
    (taken,) = read_name(moment.strftime(name) + ".jpg").times
    assert taken.text == moment.replace(microsecond=0).isoformat()


@given(st.text(max_size=60))
def test_any_name_is_read(name: str) -> None:
    for taken in read_name(name).times:
        datetime.fromisoformat(taken.text)

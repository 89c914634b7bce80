"""Single pictures against Pillow and OpenCV as independent decoders, and what their files still say afterwards."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fleet_assets.ingestion.media.pixels import UndecodablePictureError, decoded, jpeg_of, without_metadata
from fleet_assets.ingestion.recordings.messages.media_messages import RAW, Picture

SECRET = b"48.137N 11.575E"
ORIENTATION = 0x0112


def photo(width: int = 64, height: int = 48) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A smooth picture with every colour, red, green, blue."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=2).astype(np.uint8)


def jpeg(mode: str = "RGB", orientation: int | None = None, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    if orientation:
        exif[ORIENTATION] = orientation
    sink = io.BytesIO()
    image = Image.fromarray(photo()).convert(mode)
    image.save(sink, "JPEG", exif=exif, comment=SECRET, icc_profile=SECRET, **options)
    return sink.getvalue()


def with_thumbnail(data: bytes) -> bytes:
    """Put a JFIF thumbnail (3 bytes per pixel) into the first segment."""
    body = b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x04\x04" + SECRET * 3 + b"abc"
    end = 4 + int.from_bytes(data[4:6], "big") if data[2:4] == b"\xff\xe0" else 2
    return data[:2] + b"\xff\xe0" + (len(body) + 2).to_bytes(2, "big") + body + data[max(2, end) :]


def pillow_bgr(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[:, :, ::-1]


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}, {"restart_marker_blocks": 2}, {"optimize": True}],
    ids=str,
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_without_its_metadata_shows_the_same_pixels(mode: str, options: dict[str, Any]) -> None:
    original = jpeg(mode, **options)
    pixels, kept = decoded(Picture(None, "jpeg", original))
    assert SECRET in original
    assert kept is not None
    np.testing.assert_array_equal(pixels, pillow_bgr(original))
    np.testing.assert_array_equal(pillow_bgr(kept), pillow_bgr(original))
    np.testing.assert_array_equal(decoded(Picture(None, "jpeg", kept))[0], pixels)
    assert len(kept) < len(original)


def test_neither_exif_nor_comment_nor_profile_nor_thumbnail_nor_a_second_picture_is_left() -> None:
    whole = with_thumbnail(jpeg()) + jpeg() + SECRET
    kept = decoded(Picture(None, "jpeg", whole))[1]
    assert whole.count(SECRET) >= 8
    assert kept is not None
    assert SECRET not in kept
    assert b"Exif" not in kept
    assert kept.count(b"\xff\xd8\xff") == 1
    assert kept.endswith(b"\xff\xd9")
    np.testing.assert_array_equal(pillow_bgr(kept), pillow_bgr(jpeg()))


def test_a_second_pass_changes_nothing() -> None:
    once = without_metadata(jpeg(progressive=True))
    assert once is not None
    assert without_metadata(once) == once


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_photo_comes_upright_and_is_not_kept_as_it_lies_in_the_file(orientation: int) -> None:
    data = jpeg(orientation=orientation)
    pixels, kept = decoded(Picture(None, "jpeg", data))
    import cv2

    # OpenCV turns by EXIF itself.
    upright = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert kept is None
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright.astype(int)).mean() < 3


def test_a_picture_in_printing_colours_is_shown_but_not_kept() -> None:
    pixels, kept = decoded(Picture(None, "jpeg", jpeg("CMYK")))
    assert kept is None
    assert np.abs(pixels[:, :, ::-1].astype(int) - photo().astype(int)).mean() < 12


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "I;16"])
def test_png_pictures_of_every_depth_are_read(mode: str) -> None:
    sink = io.BytesIO()
    if mode == "I;16":
        Image.fromarray(photo()[:, :, 0].astype(np.uint16) * 257).save(sink, "PNG")
    else:
        Image.fromarray(photo()).convert(mode).save(sink, "PNG")
    pixels, kept = decoded(Picture(None, "png", sink.getvalue()))
    assert kept is None
    assert pixels.shape == (48, 64, 3)
    if mode in {"RGB", "RGBA"}:
        np.testing.assert_array_equal(pixels[:, :, ::-1], photo())
    if mode == "I;16":
        np.testing.assert_array_equal(pixels[:, :, 0], photo()[:, :, 0])


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.9])
@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_a_cut_picture_is_refused_and_never_half_shown(form: str, share: float) -> None:
    sink = io.BytesIO()
    Image.fromarray(photo()).save(sink, form.upper())
    data = sink.getvalue()
    with pytest.raises(UndecodablePictureError):
        decoded(Picture(None, form, data[: int(len(data) * share)]))


def test_a_picture_that_claims_absurd_sides_is_refused_without_being_made() -> None:
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(UndecodablePictureError, match="larger"):
        decoded(Picture(None, "jpeg", bytes(data)))


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 10_000), value=st.integers(0, 255), form=st.sampled_from(["jpeg", "png"]))
def test_a_damaged_byte_gives_a_picture_or_a_refusal_and_no_metadata(place: int, value: int, form: str) -> None:
    sink = io.BytesIO()
    Image.fromarray(photo()).save(sink, form.upper(), **({"comment": SECRET} if form == "jpeg" else {}))
    data = bytearray(sink.getvalue())
    data[place % len(data)] = value
    try:
        pixels, kept = decoded(Picture(None, form, bytes(data)))
    except UndecodablePictureError:
        return
    assert pixels.ndim == 3
    if kept is not None and b"\xff\xfe" in bytes(data):
        assert SECRET not in kept


def raw(encoding: str, rows: np.ndarray[Any, Any], pad: int = 0) -> Picture:
    height, width = rows.shape[:2]
    flat = rows.reshape(height, -1)
    padded = np.hstack([flat, np.zeros((height, pad), np.uint8)])
    return Picture(None, RAW, padded.tobytes(), width, height, padded.shape[1], encoding)


@pytest.mark.parametrize("pad", [0, 5])
def test_raw_pictures_are_read_by_their_encoding_and_the_length_of_their_rows(pad: int) -> None:
    rgb = photo()
    alpha = np.full((*rgb.shape[:2], 1), 9, np.uint8)
    for encoding, rows in (
        ("rgb8", rgb),
        ("bgr8", rgb[:, :, ::-1]),
        ("rgba8", np.dstack([rgb, alpha])),
        ("bgra8", np.dstack([rgb[:, :, ::-1], alpha])),
    ):
        np.testing.assert_array_equal(decoded(raw(encoding, rows, pad))[0][:, :, ::-1], rgb)
    grey = decoded(raw("mono8", rgb[:, :, :1], pad))[0]
    np.testing.assert_array_equal(grey, np.repeat(rgb[:, :, :1], 3, axis=2))
    deep = np.dstack([np.zeros_like(rgb[:, :, 0]), rgb[:, :, 0]])
    np.testing.assert_array_equal(decoded(raw("mono16", deep, pad))[0], np.repeat(rgb[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_pictures_get_their_colours_back(pattern: str) -> None:
    rgb = photo(128, 96)
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for place, colour in enumerate(pattern):
        y, x = divmod(place, 2)
        mosaic[y::2, x::2] = rgb[y::2, x::2, "rgb".index(colour)]
    found = decoded(raw(f"bayer_{pattern}8", mosaic[:, :, None]))[0][:, :, ::-1]
    inner = (slice(4, -4), slice(4, -4))
    assert np.abs(found[inner].astype(int) - rgb[inner].astype(int)).max() <= 6


@pytest.mark.parametrize(("encoding", "luma"), [("yuv422", 1), ("yuv422_yuy2", 0)])
def test_pictures_with_shared_colours_keep_their_brightness(encoding: str, luma: int) -> None:
    rows = np.full((48, 64, 2), 128, np.uint8)
    rows[:, :, luma] = np.linspace(16, 235, 64).astype(np.uint8)
    found = decoded(raw(encoding, rows))[0]
    assert np.ptp(found, axis=2).max() <= 2
    assert (np.diff(found[0, :, 0].astype(int)) >= 0).all()


def test_raw_pictures_that_are_too_short_or_of_unknown_encoding_are_refused() -> None:
    with pytest.raises(UndecodablePictureError, match="its rows"):
        decoded(Picture(None, RAW, bytes(100), 10, 10, 10, "rgb8"))
    with pytest.raises(UndecodablePictureError, match="32FC1"):
        decoded(Picture(None, RAW, bytes(400), 10, 10, 40, "32FC1"))
    with pytest.raises(UndecodablePictureError, match="odd size"):
        decoded(Picture(None, RAW, bytes(400), 5, 5, 5, "bayer_rggb8"))


def test_what_is_encoded_holds_nothing_but_the_picture_and_is_the_same_each_time() -> None:
    bgr = np.ascontiguousarray(photo()[:, :, ::-1])
    data = jpeg_of(bgr, 92)
    assert data == jpeg_of(bgr, 92)
    assert without_metadata(data) is not None
    assert np.abs(pillow_bgr(data).astype(int) - bgr.astype(int)).mean() < 3

"""Pictures: what must be on them, not which pixel is where."""

import cv2
import numpy as np
import pytest

from codriver.errors import ConfigError
from codriver.files.atomic import check_output, whole_file
from codriver.percept import DriverSight
from codriver.sources import FrameSet
from codriver.tasks import AIDE
from codriver.view import About, LiveView, Record, draw_sheet, text
from codriver.view.cameras import found_text
from codriver.view.live import BIG, PANEL, SMALL
from codriver.view.media import video_file, write_image
from codriver.view.record import KEPT
from codriver.view.theme import BACKGROUND, RIGHT, WRONG, Rect, accent
from tests.clips import TRUTH, frame, instant, percept

LEFT = SMALL.columns(3, 8)[1]
MAGENTA = np.full((54, 96, 3), (255, 0, 255), np.uint8)


def part(image, rect):
    return image[rect.y : rect.bottom, rect.x : rect.right]


def pixels(image, colour):
    """How many pixels have exactly this colour."""
    return int((image == np.array(colour, np.uint8)).all(axis=-1).sum())


def card(index):
    return PANEL.rows(4, 8)[index]


def test_a_picture_of_an_instant_has_the_promised_size():
    image = LiveView().render(instant(), percept())
    assert image.shape == (720, 1280, 3) and image.dtype == np.uint8


def test_a_lost_view_is_a_calm_tile_and_not_black():
    view = LiveView()
    view.render(FrameSet({"left": MAGENTA}, 0.0), percept(0))
    tile = part(view.render(instant(1, ("incar",)), percept(1, lost=("left",))), LEFT).astype(int)
    inner = tile[20:-20, 20:-20]
    assert inner.min() > 10, "black"
    assert np.ptp(inner[:, :, 1]) > 50, "no hatch and no text"
    assert (tile[..., 0] - tile[..., 1]).max() < 60, "the last picture is still shown"


def test_a_late_view_shows_its_last_picture_dimmed():
    view = LiveView()
    fresh = part(view.render(FrameSet({"left": MAGENTA}, 0.0), percept(0)), LEFT)[100, 100].astype(int)
    late = part(view.render(instant(1, ("incar",)), percept(1, late=("left",))), LEFT)[100, 100].astype(int)
    assert fresh.tolist() == [255, 0, 255]
    assert late[0] < 200 and late[0] > late[1] + 80


def test_the_reason_for_an_absent_view_is_on_its_tile():
    instants = FrameSet({}, 1 / 15), FrameSet({}, 1 / 15, None, {"left": "left.mp4 ended at 1.27 s"})
    plain, said = (LiveView().render(at, percept(1, lost=("left",))) for at in instants)
    assert (part(plain, LEFT) != part(said, LEFT)).any()


@pytest.mark.parametrize("index", range(4))
def test_each_answer_is_written_in_its_card_and_marked_in_its_accent(index):
    first, second = (LiveView().render(instant(), percept(winner=winner)) for winner in (0, 1))
    assert (part(first, card(index)) != part(second, card(index))).any()
    assert pixels(part(first, card(index)), accent(index)) > 200


def test_an_invalid_task_shows_no_bar_in_its_accent():
    name = AIDE.names[2]
    image = LiveView().render(instant(), percept(invalid=(name,)))
    assert pixels(part(image, card(2)), accent(2)) < 100  # its title alone
    assert pixels(part(image, card(1)), accent(1)) > 200


def test_the_past_is_drawn_and_forgotten_when_a_new_clip_begins():
    view = LiveView()
    one = view.render(instant(0), percept(0))
    for number in range(1, 12):
        many = view.render(instant(number), percept(number))
    again = view.render(instant(0), percept(0))
    assert pixels(part(many, card(0)), accent(0)) > pixels(part(one, card(0)), accent(0)) + 50
    assert (part(again, PANEL) == part(one, PANEL)).all()


def test_a_driver_is_drawn_inside_the_in_car_tile_only():
    keypoints = np.full((136, 3), 30, np.float32)
    driver = DriverSight(face_px=(-500, -500, 2000, 2000), body_px=(10, 5, 50, 40), keypoints=keypoints)
    plain, drawn = (LiveView().render(instant(), percept(driver=d)) for d in (None, driver))
    assert (part(plain, BIG) != part(drawn, BIG)).any()
    plain[BIG.y : BIG.bottom, BIG.x : BIG.right] = drawn[BIG.y : BIG.bottom, BIG.x : BIG.right]
    assert (plain == drawn).all()


@pytest.mark.parametrize(
    "driver",
    [
        DriverSight(face_px=(np.nan, 1, 2, 3)),
        DriverSight(body_px=(5, 5, -10, 0)),
        DriverSight(face_px=(1e9, 1e9, 1, 1)),
        DriverSight(keypoints=np.full((136, 3), np.inf, np.float32)),
        DriverSight(keypoints=np.full((136, 3), 1e6, np.float32)),
    ],
)
def test_a_strange_driver_does_not_stop_the_drawing(driver):
    LiveView().render(instant(), percept(driver=driver))


def test_the_picture_says_how_sure_the_finder_is_or_that_nobody_is_there():
    sure = DriverSight(present=True, certainty={"face": 0.934, "gesture": 0.5})
    assert found_text(sure) == "found: face 93 %, gesture 50 %"
    assert found_text(DriverSight(present=False, reason="no driver to be seen")) == "no driver to be seen"
    plain, said = (LiveView().render(instant(), percept(driver=d)) for d in (DriverSight(present=True), sure))
    assert (plain != said).any()


@pytest.mark.parametrize("size_px", [(1, 1), (30, 400), (400, 30), (1280, 720), (3000, 10)])
def test_frames_of_any_shape_fit_their_tile(size_px):
    image = LiveView().render(FrameSet({"left": frame(0, "left", size_px)}, 0.0), percept())
    outside = np.delete(image[LEFT.y : LEFT.bottom], np.r_[LEFT.x : LEFT.right], axis=1)
    other = LiveView().render(FrameSet({"left": MAGENTA}, 0.0), percept())
    assert (outside == np.delete(other[LEFT.y : LEFT.bottom], np.r_[LEFT.x : LEFT.right], axis=1)).all()


def test_rgb_frames_are_shown_in_their_true_colours():
    red_as_rgb = np.zeros((54, 96, 3), np.uint8)
    red_as_rgb[..., 0] = 200
    image = LiveView(swap_colours=True).render(FrameSet({"incar": red_as_rgb}, 0.0), percept())
    blue, _, red = part(image, BIG)[200, 400]
    assert red > 150 and blue < 50


def test_a_bundle_with_one_camera_fills_the_large_tile():
    image = LiveView(views=("front",)).render(FrameSet({"front": MAGENTA}, 0.0), percept())
    assert pixels(part(image, BIG), (255, 0, 255)) > 300_000
    assert pixels(part(image, SMALL), BACKGROUND) == SMALL.width * SMALL.height


def test_pictures_are_drawn_with_the_old_stroke_font_too(monkeypatch):
    for cached in (text.width, text.fit):
        cached.cache_clear()
    monkeypatch.setattr(text, "_face", lambda: None)
    image = LiveView().render(instant(), percept())
    assert pixels(part(image, card(0)), accent(0)) > 200
    assert draw_sheet(recorded(3), About(title="0001 – a", truth=TRUTH)).shape == (1350, 1920, 3)
    for cached in (text.width, text.fit):
        cached.cache_clear()


def test_text_that_is_too_long_is_shortened_to_its_room():
    long = "Backward Moving in the Slow Lane"
    short = text.fit(long, 12, 80)
    assert short.endswith("…") and text.width(short, 12) <= 80
    lines = text.wrap(long, 12, 80, 2)
    assert len(lines) == 2 and all(text.width(line, 12) <= 80 for line in lines)


def recorded(steps, **changes):
    record = Record()
    for number in range(steps):
        record.add(instant(number), percept(number, **changes))
    return record


def test_a_sheet_has_the_promised_size_even_of_a_single_step():
    for steps in (1, 2, 45):
        image = draw_sheet(recorded(steps), About(title="0001", truth={}))
        assert image.shape == (1350, 1920, 3) and image.dtype == np.uint8


def test_a_sheet_marks_right_and_wrong_answers():
    truth = {task.name: task.labels[1] for task in AIDE.tasks}
    right = draw_sheet(recorded(5, winner=1), About(title="0001", truth=truth))
    wrong = draw_sheet(recorded(5, winner=0), About(title="0001", truth=truth))
    below = slice(720, 1350)
    assert pixels(right[below], WRONG) == 0 and pixels(right[below], RIGHT) > 0
    assert pixels(wrong[below], WRONG) > 0


def test_a_sheet_of_a_run_without_any_answer_is_drawn():
    image = draw_sheet(recorded(5, invalid=AIDE.names, state="invalid"), About(title="0001", truth=TRUTH))
    assert pixels(image[720:], accent(0)) < 300


def test_a_long_run_keeps_few_pictures_and_ends_with_its_last_instant():
    record = recorded(300)
    assert len(record._instants) <= KEPT
    instants = record.instants(6)
    assert [instants[0].t, instants[-1].t] == [0.0, 299 / 15]
    gaps = np.diff([instant.t for instant in instants])
    assert gaps.max() < 2 * gaps.min()


def test_rows_and_columns_fill_their_rectangle():
    whole = Rect(3, 5, 101, 77)
    for count in (1, 2, 3, 4, 7):
        columns, rows = whole.columns(count, 8), whole.rows(count, 8)
        assert (columns[0].x, columns[-1].right, len(columns)) == (3, 104, count)
        assert (rows[0].y, rows[-1].bottom, len(rows)) == (5, 82, count)


def test_a_video_appears_as_a_whole(tmp_path):
    out = tmp_path / "out.mp4"
    with video_file(out, 15) as video:
        for number in range(5):
            video.add(LiveView().render(instant(number), percept(number)))
            assert not out.exists()
    capture = cv2.VideoCapture(str(out))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 5 and capture.get(cv2.CAP_PROP_FPS) == 15
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_a_failure_there_is_no_file_and_an_older_one_is_untouched(tmp_path, error):
    for older in (None, b"older"):
        out = tmp_path / "out.mp4"
        if older:
            out.write_bytes(older)
        with pytest.raises(error), video_file(out, 15) as video:
            video.add(LiveView().render(instant(), percept()))
            raise error
        assert [path.read_bytes() for path in tmp_path.iterdir()] == ([older] if older else [])


def test_a_video_without_a_picture_says_so(tmp_path):
    with pytest.raises(ConfigError, match="the source gave no frame"), video_file(tmp_path / "out.mp4", 15):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_image_is_written_in_the_format_of_its_suffix(tmp_path):
    for name, magic in (("a.png", b"\x89PNG"), ("a.jpg", b"\xff\xd8")):
        write_image(tmp_path / name, MAGENTA)
        assert (tmp_path / name).read_bytes().startswith(magic)


def test_a_file_that_cannot_be_written_is_refused_beforehand(tmp_path):
    with pytest.raises(ConfigError, match="there is no folder"):
        check_output(tmp_path / "nowhere" / "out.mp4", (".mp4",))
    with pytest.raises(ConfigError, match=r"got the suffix '\.avi', expected \.mp4"):
        check_output(tmp_path / "out.avi", (".mp4",))
    with pytest.raises(ConfigError, match="is a folder"):
        check_output(tmp_path, ())
    nowhere = tmp_path / "nowhere" / "x"
    with pytest.raises(ConfigError, match="cannot be written"), whole_file(nowhere) as path:
        path.write_bytes(b"")

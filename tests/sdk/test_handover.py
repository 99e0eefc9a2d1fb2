"""Another bundle, or a better engine, takes over while the stream goes on: nothing is lost, and nothing is silent."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codriver.config import TimingConfig, WorkerConfig
from codriver.errors import BundleError, CodriverError, ConfigError, EngineError, SignatureError
from codriver.perceiver import Perceiver
from codriver.percept import Percept
from codriver.tasks import VIEWS
from codriver.worker import PerceiverWorker
from tests.faults import Cameras, Idle, perceiver_with
from tests.sdk.test_worker import eventually
from tests.tiny import (
    GOLDEN_STEPS,
    answers,
    make_tiny_bundle,
    tiny_files,
    tiny_found,
    tiny_fuser,
    tiny_manifest,
    tiny_steps,
    write_bundle,
)
from workshop.golden_vectors import write_golden
from workshop.signing import new_key, sign_bundle

pytest.importorskip("onnxruntime")

STEPS = tiny_steps(24)
CLEAN = Cameras()
VARIANT = "ort-x86-7bit"  # runs on any processor
PATIENT = WorkerConfig(deadline_ms=5_000)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("swap") / "one.bundle")


@pytest.fixture(scope="module")
def other_fuser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same encoders, and fusers that answer otherwise: a model whose heads were trained anew."""
    draft = tiny_manifest(name="other-fuser")
    files = tiny_files(draft)
    for variant in draft.variants:
        files[variant.fuser] = tiny_fuser(draft, seed=7).SerializeToString()
    out = tmp_path_factory.mktemp("swap") / "other.bundle"
    write_bundle(out, draft, dict(files))
    return out


def opened(path: Path, variant: str = VARIANT) -> Perceiver:
    return Perceiver.open(path, variant=variant)


def test_with_the_same_encoder_the_answers_are_those_of_never_having_had_another_fuser(
    bundle: Path, other_fuser: Path
) -> None:
    with opened(bundle) as swapped, opened(other_fuser) as straight:
        for step in STEPS[:12]:
            swapped.step(*step)
            straight.step(*step)
        swapped.swap(opened(other_fuser))
        first = swapped.step(*STEPS[12])
        (event,) = first.events
        assert event.kind == "swapped" and event.text == first.reasons[0]
        assert event.text.startswith("now other-fuser") and "the context goes on" in event.text
        found = answers(first) | {"reasons": [], "events": []}
        assert found == answers(straight.step(*STEPS[12])) | {"reasons": [], "events": []}
        assert first.state == "ok" and first.sequence == 12
        for step in STEPS[13:]:
            assert answers(swapped.step(*step)) == answers(straight.step(*step))


def test_another_encoder_begins_a_new_context_and_says_so(bundle: Path) -> None:
    with opened(bundle) as swapped, opened(bundle, "ort-x86") as fresh:
        for step in STEPS[:12]:
            swapped.step(*step)
        swapped.swap(opened(bundle, "ort-x86"))
        percepts = [(swapped.step(*step), fresh.step(*step)) for step in STEPS[12:]]
        assert "ort-x86 in onnxruntime: a new context begins" in percepts[0][0].reasons[0]
        assert percepts[0][0].state == "init" and swapped.variant == "ort-x86"
        assert [p.sequence for p, _ in percepts] == list(range(12, 24))
        assert [p.tasks for p, _ in percepts] == [p.tasks for _, p in percepts]
        counts = swapped.stats().views["front"]
        assert (counts.input, counts.processed) == (24, 24)


def test_an_open_perceiver_takes_over_and_is_closed_by_it(bundle: Path) -> None:
    with opened(bundle) as perceiver:
        fresh = opened(bundle, "ort-x86")
        perceiver.swap(fresh)
        perceiver.step(*STEPS[0])
        with pytest.raises(CodriverError, match="closed"):
            fresh.step(*STEPS[0])


def test_what_does_not_fit_leaves_the_old_one_at_work(bundle: Path, tmp_path: Path) -> None:
    one_camera = make_tiny_bundle(tmp_path / "front.bundle", streams=("front",))
    with opened(bundle) as perceiver, opened(bundle) as untouched:
        for number, step in enumerate(STEPS):
            if number == 12:
                with (
                    opened(one_camera) as fresh,
                    pytest.raises(ConfigError, match="its cameras are front in bgr, this stream's are incar, front"),
                ):
                    perceiver.swap(fresh)
            assert answers(perceiver.step(*step)) == answers(untouched.step(*step))
        assert perceiver.stats() == untouched.stats()


def test_whom_and_how_old_a_stream_trusts_is_not_forgotten_by_a_swap(tmp_path: Path) -> None:
    one, unsigned, old = (
        make_tiny_bundle(tmp_path / f"{name}.bundle", version=version)
        for name, version in (("one", 3), ("unsigned", 4), ("old", 2))
    )
    key, public = tmp_path / "key.pem", tmp_path / "key.pem.pub"
    new_key(key)
    sign_bundle(one, key)
    sign_bundle(old, key)
    with Perceiver.open(one, threads=1, trusted_key=public, min_version=3) as perceiver:
        with opened(unsigned) as fresh, pytest.raises(SignatureError, match="this stream trusts sha256:") as refused:
            perceiver.swap(fresh)
        assert refused.value.code == "signature-other-key"
        with Perceiver.open(old, trusted_key=public) as fresh:
            with pytest.raises(BundleError, match="version 2, this stream takes 3 or newer") as too_old:
                perceiver.swap(fresh)
            assert too_old.value.code == "version-too-old"
            assert fresh.step({}, 0.0).sequence == 0  # it is still open, and its owner's to close
        perceiver.swap(Perceiver.open(one, variant="ort-x86", trusted_key=public, min_version=1, threads=1))
        with opened(unsigned) as fresh, pytest.raises(SignatureError):
            perceiver.swap(fresh)
        with Perceiver.open(old, trusted_key=public) as fresh, pytest.raises(BundleError, match="takes 3 or newer"):
            perceiver.swap(fresh)


def test_a_bundle_that_answers_other_questions_is_another_stream(bundle: Path, tmp_path: Path) -> None:
    draft = tiny_manifest()
    fewer = make_tiny_bundle(tmp_path / "fewer.bundle", tasks=draft.tasks[1:])
    with opened(bundle) as perceiver:
        with opened(fewer) as fresh, pytest.raises(ConfigError, match="its answers are driver_behavior"):
            perceiver.swap(fresh)
        assert perceiver.step(*STEPS[0]).driver_emotion.reason


def test_an_upgrade_of_a_bundle_that_was_swapped_out_is_refused(bundle: Path, other_fuser: Path) -> None:
    built = threading.Event()

    def better() -> Perceiver:
        assert built.wait(20)
        return opened(bundle, "ort-x86")

    with PerceiverWorker(lambda: opened(bundle), lambda percept: None, config=PATIENT, upgrade=better) as worker:
        worker.swap(lambda: opened(other_fuser))
        built.set()
        eventually(lambda: worker.upgrade != "building")
        assert worker.upgrade.startswith("refused: another bundle took over")
        assert worker.stats().model.startswith("other-fuser") and worker.stats().swaps == 1


def test_whatever_a_better_engine_raises_the_first_one_goes_on(bundle: Path) -> None:
    found: list[Percept] = []
    with PerceiverWorker(lambda: opened(bundle), found.append, config=PATIENT, upgrade=lambda: 1 / 0) as worker:
        eventually(lambda: worker.upgrade != "building")
        worker.submit(*STEPS[0])
        eventually(lambda: found)
    assert "it failed with ZeroDivisionError" in found[0].reasons[0]


@pytest.mark.parametrize(("own", "status"), [({}, "frozen"), ({"timing": TimingConfig(pair_s=0.033)}, "ok")])
def test_a_cameras_fault_outlives_a_swap_unless_another_policy_judges_it(own: dict[str, Any], status: str) -> None:
    perceiver = perceiver_with()
    policy = replace(perceiver.bundle.policy, **own)
    first, second = CLEAN.frames(0), CLEAN.frames(1)
    for number in range(6):
        percept = perceiver.step({"front": first["front"].image}, CLEAN.t(number))
    assert percept.views["front"].status == "frozen"
    perceiver.swap(perceiver_with(policy=policy))
    assert perceiver.bundle.policy == policy
    assert perceiver.step({"front": second["front"].image}, CLEAN.t(6)).views["front"].status == status


def test_a_worker_swaps_between_two_steps_and_counts_every_frame(bundle: Path, other_fuser: Path) -> None:
    found: list[Percept] = []
    with PerceiverWorker(lambda: opened(bundle), found.append, config=PATIENT) as worker:
        for number, step in enumerate(STEPS):
            if number == 12:
                worker.swap(lambda: opened(other_fuser))
            worker.submit(*step)
            eventually(lambda number=number: len(found) > number)
        assert worker.stats().variant == VARIANT and worker.stats().swaps == 1
        counts = worker.stats().views["front"]
    assert (counts.input, counts.processed) == (24, 24)
    assert [p.model.partition("-")[0] for p in (found[11], found[12])] == ["tiny", "other"]
    with pytest.raises(CodriverError, match="did not swap: it is closed"):
        worker.swap(lambda: opened(bundle))


def test_a_better_engine_is_built_while_the_first_one_answers(bundle: Path) -> None:
    built, found = threading.Event(), list[Percept]()

    def better() -> Perceiver:
        assert built.wait(20)
        return opened(bundle, "ort-x86")

    with PerceiverWorker(lambda: opened(bundle), found.append, config=PATIENT, upgrade=better) as worker:
        for number, step in enumerate(STEPS):
            if number == 12:
                assert worker.stats().variant == VARIANT
                built.set()
                eventually(lambda: worker.stats().variant == "ort-x86")
            worker.submit(*step)
            eventually(lambda number=number: len(found) > number)
        counts = worker.stats().views["front"]
    assert (counts.input, counts.processed) == (24, 24)  # golden vectors are not among them
    assert worker.upgrade == "took over"
    told = [reason for percept in found for reason in percept.reasons if reason.startswith("now ")]
    assert len(told) == 1 and "ort-x86 in onnxruntime: a new context begins" in told[0]


def test_a_better_engine_that_answers_wrong_never_takes_over(bundle: Path, tmp_path: Path) -> None:
    wrong = wrong_golden(tmp_path)
    errors, found = list[CodriverError](), list[Percept]()
    worker = PerceiverWorker(
        lambda: opened(bundle), found.append, errors.append, PATIENT, upgrade=lambda: opened(wrong)
    )
    with worker:
        eventually(lambda: errors)
        assert worker.stats().variant == VARIANT
        worker.submit(*STEPS[0])
        eventually(lambda: found)
    assert "the better engine was refused: ort-x86-7bit in onnxruntime does not prove" in found[0].reasons[0]
    assert worker.upgrade.startswith("refused: ")
    assert isinstance(errors[0], EngineError) and "does not prove itself on golden vectors" in str(errors[0])
    assert worker.stats().views["front"].input == 1


def wrong_golden(tmp_path: Path) -> Path:
    """A bundle whose golden vectors its graphs do not give: what a wrongly built engine looks like."""
    draft = tiny_manifest(name="wrong", golden="golden/golden.json")
    even = {task.name: dict.fromkeys(task.labels, 1 / len(task.labels)) for task in draft.tasks}
    steps = tiny_steps(GOLDEN_STEPS, views=VIEWS)
    write_golden(
        tmp_path / "golden", steps, {v.name: even for v in draft.variants}, tolerance=0.01, found=tiny_found(draft)
    )
    files = dict(tiny_files(draft)) | {f"golden/{path.name}": path for path in (tmp_path / "golden").iterdir()}
    write_bundle(tmp_path / "wrong.bundle", draft, files)
    return tmp_path / "wrong.bundle"


def test_closing_while_a_better_engine_is_built_does_not_wait_for_it(bundle: Path) -> None:
    built, closed = threading.Event(), []

    def better() -> Perceiver:
        assert built.wait(20)
        closed.append(opened(bundle))
        return closed[0]

    worker = PerceiverWorker(lambda: opened(bundle), lambda percept: None, config=PATIENT, upgrade=better)
    worker.close(timeout_s=0.05)
    built.set()
    eventually(lambda: closed and closed[0]._closed)
    eventually(lambda: not any(thread.name == "codriver upgrade" for thread in threading.enumerate()))


class Stuck(Idle):
    """An engine that does not let go."""

    tried = 0  # of all of them

    def close(self) -> None:
        type(self).tried += 1
        raise EngineError("the device is gone")


def test_an_engine_that_does_not_close_is_told_and_the_new_one_answers() -> None:
    now, fresh = perceiver_with(Stuck), perceiver_with()
    now.swap(fresh)
    told = now.step({}, 0.0)
    assert [event.kind for event in told.events] == ["swapped", "not_closed", "not_closed"]
    assert told.events[1].text == "the engine of before did not close: the device is gone"
    assert now.step({}, 0.1).events == ()
    now.close()


def test_the_fuser_is_closed_even_if_the_encoder_does_not_close() -> None:
    perceiver, Stuck.tried = perceiver_with(Stuck), 0
    with pytest.raises(EngineError, match="the device is gone"):
        perceiver.close()
    assert Stuck.tried == 2
    perceiver.close()  # closed as far as can be: nothing is tried again
    assert Stuck.tried == 2

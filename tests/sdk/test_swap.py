"""Another bundle, or a better engine, takes over while the stream goes on: nothing is lost, and nothing is silent."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from codriver.bundle_writer import write_bundle
from codriver.errors import BundleError, CodriverError, ConfigError, EngineError, SignatureError
from codriver.golden import write_golden
from codriver.perceiver import Perceiver
from codriver.percept import Percept
from codriver.policy import TimingConfig
from codriver.tasks import VIEWS
from codriver.worker import PerceiverWorker, WorkerConfig
from tests.sdk.test_worker import eventually
from tests.tiny import GOLDEN_STEPS, answers, make_tiny_bundle, tiny_files, tiny_fuser, tiny_manifest, tiny_steps

pytest.importorskip("onnxruntime")

STEPS = tiny_steps(24)
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
        swapped.swap(other_fuser, variant=VARIANT)
        first = swapped.step(*STEPS[12])
        assert first.reasons[0].startswith("now other-fuser") and "the context goes on" in first.reasons[0]
        found = answers(first) | {"reasons": []}
        assert found == answers(straight.step(*STEPS[12])) | {"reasons": []}
        assert first.state == "ok" and first.sequence == 12
        for step in STEPS[13:]:
            assert answers(swapped.step(*step)) == answers(straight.step(*step))


def test_another_encoder_begins_a_new_context_and_says_so(bundle: Path) -> None:
    with opened(bundle) as swapped, opened(bundle, "ort-x86") as fresh:
        for step in STEPS[:12]:
            swapped.step(*step)
        swapped.swap(bundle, variant="ort-x86")
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


def test_what_cannot_be_opened_or_does_not_fit_leaves_the_old_one_at_work(bundle: Path, tmp_path: Path) -> None:
    one_camera = make_tiny_bundle(tmp_path / "front.bundle", streams=("front",))
    broken = make_tiny_bundle(tmp_path / "broken.bundle")
    path = broken / VARIANT / "encoder.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with opened(bundle) as perceiver, opened(bundle) as untouched:
        for number, step in enumerate(STEPS):
            if number == 12:
                with pytest.raises(ConfigError, match="this stream has incar, front, left, right in bgr"):
                    perceiver.swap(one_camera)
                with pytest.raises(BundleError, match="changed"):
                    perceiver.swap(broken)
                with pytest.raises(BundleError, match="version 0, expected 3"):
                    perceiver.swap(bundle, min_version=3)
                with pytest.raises(SignatureError):
                    perceiver.swap(bundle, trust="sha256:" + 64 * "0")
            assert answers(perceiver.step(*step)) == answers(untouched.step(*step))
        assert perceiver.stats() == untouched.stats()


def test_the_users_own_policy_outlives_a_swap_and_the_bundles_does_not(bundle: Path) -> None:
    slow = Perceiver.open(bundle, variant=VARIANT)
    own = slow.policy.__class__(**{**slow.policy.__dict__, "timing": TimingConfig(pair_s=0.033)})
    slow.close()
    with Perceiver.open(bundle, variant=VARIANT, policy=own) as perceiver:
        perceiver.swap(bundle, variant="ort-x86")
        assert perceiver.policy == own


def test_a_worker_swaps_between_two_steps_and_counts_every_frame(bundle: Path, other_fuser: Path) -> None:
    found: list[Percept] = []
    with PerceiverWorker(lambda: opened(bundle), found.append, config=PATIENT) as worker:
        for number, step in enumerate(STEPS):
            if number == 12:
                worker.swap(lambda: opened(other_fuser))
            worker.submit(*step)
            eventually(lambda number=number: len(found) > number)
        assert worker.answering == f"{VARIANT} in onnxruntime"
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
                assert worker.answering.startswith(VARIANT)
                built.set()
                eventually(lambda: worker.answering.startswith("ort-x86 "))
            worker.submit(*step)
            eventually(lambda number=number: len(found) > number)
        counts = worker.stats().views["front"]
    assert (counts.input, counts.processed) == (
        24,
        24,
    )  # the golden vectors that it proved itself on are not among them
    told = [reason for percept in found for reason in percept.reasons if reason.startswith("now ")]
    assert len(told) == 1 and "ort-x86 in onnxruntime: a new context begins" in told[0]


def test_a_better_engine_that_answers_wrong_never_takes_over(bundle: Path, tmp_path: Path) -> None:
    wrong = wrong_golden(tmp_path)
    errors: list[CodriverError] = []
    worker = PerceiverWorker(
        lambda: opened(bundle), lambda percept: None, errors.append, PATIENT, upgrade=lambda: opened(wrong)
    )
    with worker:
        eventually(lambda: errors)
        assert worker.answering.startswith(VARIANT)
        worker.submit(*STEPS[0])
    assert isinstance(errors[0], EngineError) and "does not prove itself on golden vectors" in str(errors[0])
    assert worker.stats().views["front"].input == 1


def wrong_golden(tmp_path: Path) -> Path:
    """A bundle whose golden vectors its graphs do not give: what a wrongly built engine looks like."""
    draft = tiny_manifest(name="wrong", golden="golden/golden.json")
    even = {task.name: dict.fromkeys(task.labels, 1 / len(task.labels)) for task in draft.tasks}
    steps = tiny_steps(GOLDEN_STEPS, views=VIEWS)
    write_golden(tmp_path / "golden", steps, {v.name: even for v in draft.variants}, tolerance=0.01)
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

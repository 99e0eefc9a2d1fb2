"""Answers in a databroker, from a process of its own."""

from tests import ROOT
from tests.clips import make_clip
from tests.kuksa_peer import Databroker
from tests.samples.own_process import sample
from tests.tiny import make_tiny_bundle


def test_the_provider_fills_every_signal_of_its_map(tmp_path):
    broker, bundle = Databroker(), make_tiny_bundle(tmp_path / "tiny.bundle", golden=False)
    done = sample("vss_provider.py", bundle, make_clip(tmp_path, frames=24), broker.serve(), folder=tmp_path)
    broker.stop()
    assert (done.returncode, done.stderr) == (0, "") and len(done.stdout.splitlines()) == 24
    published = dict(broker.published)
    assert published.keys() == broker.signals.keys() and published["Vehicle.Driver.Behaviour.Class"]
    assert len((ROOT / "samples" / "vss_provider.py").read_text().splitlines()) <= 60

"""`codriver doctor` on this machine, and on the files of Jetsons that tests lay out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from codriver.bundle.manifest import VariantSpec
from codriver.cli.doctor import _lines, examine
from codriver.cli.main import main
from codriver.device.machine import rivals
from codriver.doctor.advice import bundle_advice, choice_advice, machine_advice
from codriver.doctor.facts import bundle_facts, fits, machine_facts
from codriver.doctor.probe import probe
from tests import ROOT
from tests.clips import make_clip
from tests.tiny import tiny_manifest

RELEASE = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
NANO = "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0"
AGX = "nvidia,p3737-0000+p3701-0005\0nvidia,tegra234\0"
CPUINFO = "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU part\t: 0xd42\n"


def lay_jetson(root: Path, compatible: str, model: str, modes: tuple[str, ...], mode: int) -> Path:
    conf = "".join(f"< POWER_MODEL ID={number} NAME={name} >\n" for number, name in enumerate(modes))
    files = {
        "etc/nv_tegra_release": RELEASE,
        "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
        "etc/nvpmodel.conf": conf,
        "var/lib/nvpmodel/status": f"pmode:{mode:04d}\n",
        "proc/device-tree/compatible": compatible,
        "proc/device-tree/model": f"{model}\0",
        "proc/cpuinfo": CPUINFO,
        "proc/meminfo": "MemTotal:        7802772 kB\nMemFree: 1 kB\nMemAvailable:    5242880 kB\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1510400\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    return lay_jetson(tmp_path, NANO, "NVIDIA Jetson Orin Nano Engineering Kit", ("15W", "25W", "MAXN_SUPER"), 0)


@pytest.fixture
def agx(tmp_path: Path) -> Path:
    return lay_jetson(tmp_path, AGX, "NVIDIA Jetson AGX Orin Developer Kit", ("MAXN", "15W", "30W", "50W"), 0)


def on_device(root: Path, **packages: str | None) -> dict[str, Any]:
    """Facts of a root, as if these packages were installed beside the base install, on JetPack 6's Python."""
    facts = machine_facts(root) | {"python": "3.10.12"}
    none: dict[str, str | None] = dict.fromkeys(facts["packages"])
    facts["packages"] = (
        none | {"cv2": "4.10.0", "onnxruntime": "1.23.2"} | {k.replace("__", "."): v for k, v in packages.items()}
    )
    facts["cpu"]["features"] = ["arm", "dotprod"]  # the architecture is asked of Python, and this one is not an Orin's
    return facts


def orin_bundle(target: str, engine: str = "tensorrt") -> Any:
    variant = VariantSpec(name="tensorrt", engine=engine, requires=(), encoder="e.onnx", fuser="f.onnx")
    return replace(tiny_manifest(), target=target, variants=(variant,))


def said(advice: list[Any]) -> str:
    return "\n".join(f"{one.what} -> {one.do}" for one in advice)


def test_an_orin_nano_is_told_with_its_module_release_mode_and_gpu(nano: Path) -> None:
    facts = machine_facts(nano)
    board = facts["jetson"]
    assert (board["module"], board["l4t"], board["jetpack"]) == ("orin-nano-8gb", "36.4.3", "6")
    assert (board["power_mode"], list(board["power_modes"].values())) == ("15W", ["15W", "25W", "MAXN_SUPER"])
    assert facts["gpus"][0]["compute_capability"] == "8.7" and facts["gpus"][0]["driver"] == "36.4.3"
    assert facts["memory_mb"] == {"total": 7619, "available": 5120}
    assert (facts["os"], facts["cpu"]["governor"], facts["cpu"]["clocks_mhz"]) == (
        "Ubuntu 22.04.5 LTS",
        "schedutil",
        [1510, 1510],
    )


def test_a_slow_power_mode_is_named_with_the_command_that_changes_it(nano: Path) -> None:
    advice = said(choice_advice(machine_facts(nano)))
    assert "power mode 15W: this module is faster in MAXN_SUPER -> sudo nvpmodel -m 2" in advice


def test_the_fastest_mode_needs_no_advice(agx: Path) -> None:
    assert "nvpmodel" not in said(choice_advice(on_device(agx)))


def test_a_governor_that_saves_power_is_named(nano: Path) -> None:
    (nano / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").write_text("powersave\n")
    assert "powersave: clocks rise late, so the slowest steps get slower -> sudo jetson_clocks" in said(
        machine_advice(machine_facts(nano), nano)
    )


def test_jetpacks_tensorrt_outside_the_virtual_environment_is_found(nano: Path) -> None:
    (nano / "usr/lib/python3.10/dist-packages/tensorrt").mkdir(parents=True)
    assert "does not see it -> python3 -m venv --system-site-packages" in said(machine_advice(on_device(nano), nano))


def test_tensorrt_without_a_way_to_cuda_is_named(nano: Path) -> None:
    advice = said(machine_advice(on_device(nano, tensorrt="10.3.0"), nano))
    assert "no way to CUDA's memory and streams -> pip install 'cuda-bindings>=12.8,<13'" in advice


@pytest.mark.parametrize(
    ("version", "told"), [("8.6.2", True), ("10.3.0", False), ("11.4.0.106", False), ("12.0", True)]
)
def test_a_tensorrt_that_the_code_is_not_written_for_is_named(nano: Path, version: str, told: bool) -> None:
    facts = on_device(nano, tensorrt=version, cuda__bindings="12.9.0")
    assert ("codriver is written for 10.3 to 11" in said(machine_advice(facts, nano))) == told


def test_without_any_runtime_the_last_one_for_the_devices_python_is_needed(nano: Path) -> None:
    facts = on_device(nano, onnxruntime=None)
    needed = [one for one in machine_advice(facts, nano) if one.needed]
    assert [one.do for one in needed] == ["pip install onnxruntime==1.23.2 (the last one for Python 3.10)"]


def test_an_unknown_module_and_half_of_the_files_missing_is_no_reason_to_fail(tmp_path: Path) -> None:
    root = lay_jetson(tmp_path, "nvidia,p9999-0000\0nvidia,tegra999\0", "", (), 7)
    (root / "proc/meminfo").write_text("MemTotal: many kB\n")
    (root / "proc/cpuinfo").write_text("cpu MHz : fast\nno colon\n")
    facts = machine_facts(root)
    assert facts["jetson"]["module"] is None and facts["jetson"]["power_mode"] is None and facts["memory_mb"] is None
    assert "module not told" in "\n".join(
        _lines({"machine": facts, "bundle": None, "advice": [], "ok": True, "next": ""})
    )


def test_on_an_empty_root_there_is_nothing_to_tell(tmp_path: Path) -> None:
    facts = machine_facts(tmp_path)
    assert facts["jetson"] is None and facts["gpus"] == [] and facts["cpu"]["governor"] is None
    json.dumps(examine(None, tmp_path), allow_nan=False)


def test_a_desktops_gpus_are_told_by_the_drivers_files(tmp_path: Path) -> None:
    folder = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0"
    folder.mkdir(parents=True)
    (folder / "information").write_text("Model: \t\t NVIDIA GeForce RTX 4090\nIRQ:   90\n")
    facts = machine_facts(tmp_path)
    assert [gpu["name"] for gpu in facts["gpus"]] == ["NVIDIA GeForce RTX 4090"]
    assert [fits(target, facts) for target in ("rtx-4090", "rtx-4070", "orin-nano-8gb-15w", "l4")] == [
        True,
        None,
        False,
        None,
    ]


def test_a_bundle_for_this_module_and_mode_fits(nano: Path) -> None:
    facts = on_device(nano, tensorrt="10.3.0", cuda__bindings="12.9.0")
    found = bundle_facts(nano, orin_bundle("orin-nano-8gb-15w"), facts)
    assert found["fits"] and "budgets" not in said(bundle_advice(found, facts))


def test_a_bundle_for_another_power_mode_names_the_command_that_sets_it(nano: Path) -> None:
    facts = on_device(nano)
    found = bundle_facts(nano, orin_bundle("orin-nano-8gb-maxn-super"), facts)
    what = "for power mode MAXN-SUPER, this is 15W -> sudo nvpmodel -m 2"
    assert found["fits"] and what in said(bundle_advice(found, facts))


def test_a_bundle_for_another_module_does_not_fit(agx: Path) -> None:
    facts = on_device(agx)
    found = bundle_facts(agx, orin_bundle("orin-nx-16gb-25w", "onnxruntime"), facts)
    what = "built for orin-nx-16gb-25w, and this is agx-orin-64gb: its budgets are another's"
    assert found["fits"] is False and what in said(bundle_advice(found, facts))


def test_a_bundle_whose_only_runtime_is_missing_needs_it_installed(nano: Path) -> None:
    facts = on_device(nano)
    found = bundle_facts(nano, orin_bundle("orin-nano-8gb-15w"), facts)
    (advice,) = [one for one in bundle_advice(found, facts) if one.needed]
    assert found["variants"][0]["unproven"] == "not run on hardware yet"
    assert "tensorrt needs tensorrt, not installed here" in advice.what
    assert advice.do.startswith("sudo apt install python3-libnvinfer")


def test_a_better_variant_that_could_be_installed_is_named_and_the_other_one_runs(nano: Path) -> None:
    spare = VariantSpec(name="ort-arm", engine="onnxruntime", requires=("arm",), encoder="a", fuser="b")
    manifest = orin_bundle("orin-nano-8gb-15w")
    facts = on_device(nano)
    found = bundle_facts(nano, replace(manifest, variants=(*manifest.variants, spare)), facts)
    assert found["variant"] == "ort-arm" and "until then ort-arm runs" in said(bundle_advice(found, facts))


def test_without_vnni_the_dialect_is_named_until_a_bundle_answers_it(tmp_path: Path, bundle_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("flags : sse4_2 avx2\n")
    if "x86" not in machine_facts(tmp_path)["cpu"]["features"]:
        pytest.skip("the architecture is asked of Python, and this one is not x86")
    assert "ort-x86-7bit" in json.dumps(examine(None, tmp_path)["advice"])
    result = examine(bundle_path, tmp_path)
    assert result["bundle"]["variant"] == "ort-x86-7bit" and result["advice"] == []


def test_the_doctor_sends_a_good_bundle_on_to_verify(bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(bundle_path)]) == 0
    out = capsys.readouterr().out
    assert "<- runs here" in out and out.splitlines()[-1] == f"nothing is missing; next: codriver verify {bundle_path}"


def test_a_broken_manifest_is_a_finding_and_no_manifest_is_wrong_use(
    own_bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_bundle_path / "manifest.json").write_text("{")
    assert main(["doctor", str(own_bundle_path), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert not result["ok"] and result["bundle"] is None and result["next"] == "copy the bundle to this machine anew"
    (own_bundle_path / "manifest.json").unlink()
    assert main(["doctor", str(own_bundle_path)]) == 2


def broken_site(root: Path, module: str, code: str) -> dict[str, str]:
    """An environment in which a package of ours stands before the real one."""
    (root / module).mkdir(parents=True)
    (root / module / "__init__.py").write_text(code)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(ROOT / "sdk")])}


BROKEN = {  # package -> how it is broken, and what is said of it
    "cv2": [
        ("raise ImportError('libGL.so.1: cannot open shared object file: No such file')", "opencv-python-headless"),
        ("raise AttributeError('_ARRAY_API not found')", "another NumPy"),
        ("import sys; print('a page\\n' * 9, file=sys.stderr); raise SystemError('initialization failed')", "force"),
        ("", "it has no resize"),
        ("raise ImportError('libarmadillo.so.11: cannot open shared object file: No such')", "install libarmadillo"),
    ],
    "onnxruntime": [
        ("", "it has no InferenceSession"),
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("raise OSError('libcudart.so.12: cannot open shared object file: No such file')", "libcudart.so.12"),
    ],
}


@pytest.mark.parametrize(("module", "code", "says"), [(m, c, s) for m, some in BROKEN.items() for c, s in some])
def test_a_package_that_is_there_and_broken_is_a_finding_and_one_line_of_every_command(
    tmp_path: Path, bundle_path: Path, module: str, code: str, says: str
) -> None:
    environment = broken_site(tmp_path / "site", module, code)
    clip = make_clip(tmp_path, frames=2)

    def command(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "codriver", name, str(bundle_path), *map(str, arguments)]
        return subprocess.run(line, env=environment, capture_output=True, text=True)

    found = command("doctor")
    assert found.returncode == 1 and "importing it fails" in found.stdout and says in found.stdout, found
    assert found.stderr == "" and "something needed is missing" in found.stdout
    for done in (command("verify"), command("run", "--source", clip)):
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.count("\n") == 1 and f"{module} is installed, and importing it fails" in done.stderr
        assert says in done.stderr


@pytest.mark.parametrize("code", ["", "raise ImportError('a page\\n\\nof it')", "import nowhere_to_be_found"])
@pytest.mark.parametrize("command", [("codriver", "doctor"), ("codriver", "run", "a.bundle", "--source", "0")])
def test_a_broken_numpy_is_one_line_of_every_command(tmp_path: Path, command: tuple[str, ...], code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], env=broken_site(tmp_path, "numpy", code), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("codriver: numpy is installed, and importing it fails: ")


def test_a_package_that_ends_its_process_or_never_answers_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino.py").write_text("import os; os.abort()")
    (tmp_path / "tensorrt.py").write_text("import time; time.sleep(60)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("codriver.doctor.probe.IMPORT_S", 3.0)
    found = probe(["openvino", "tensorrt", "mcap"])
    assert found["openvino"]["why"] == "importing it ends the process with -6"
    assert found["tensorrt"]["why"] == "importing it takes longer than 3 s" and found["mcap"]["why"] == ""


def test_packages_that_bring_the_same_module_are_told_and_one_alone_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, version in (("onnxruntime-gpu", "1.20.1"), ("opencv_contrib_python", "4.9.0.80"), ("tensorrt", "10.3.0")):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    assert rivals("onnxruntime") == {} and rivals("cv2") == {}
    monkeypatch.syspath_prepend(tmp_path)
    assert rivals("onnxruntime")["onnxruntime-gpu"] == "1.20.1" and rivals("tensorrt") == {}
    facts = machine_facts()
    advice = said(machine_advice(facts))
    assert "opencv-contrib-python 4.9.0.80 bring the same module cv2" in advice and "-> pip uninstall opencv" in advice


def test_what_this_opencv_opens_is_told(nano: Path) -> None:
    opens = machine_facts()["opencv_opens"]
    assert opens["FFMPEG"] is True and set(opens) == {"FFMPEG", "V4L2", "GSTREAMER"}
    info = next(line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GStreamer:"))
    assert opens["GSTREAMER"] is ("YES" in info)
    facts = on_device(nano) | {"opencv_opens": {"FFMPEG": True, "V4L2": True, "GSTREAMER": False}}
    assert "no GStreamer, so it cannot open a Jetson's CSI cameras" in said(machine_advice(facts, nano))


def test_a_store_that_cannot_be_written_is_named_where_engines_are_compiled(
    nano: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODRIVER_CACHE", "/proc/nowhere")
    facts = on_device(nano, tensorrt="10.3.0", cuda__bindings="12.9.0")
    facts["store"] |= {"writable": False, "why": "/proc may not be written"}  # root may write anywhere
    assert "compiled engines cannot be kept (/proc may not be written)" in said(machine_advice(facts, nano))


def test_it_loads_no_runtime_and_answers_within_two_seconds(bundle_path: Path) -> None:
    program = """
import sys
from codriver.doctor.advice import bundle_advice, choice_advice, machine_advice
from codriver.cli.main import main
code = main(["doctor", sys.argv[1], "--json"])
loaded = {"onnxruntime", "openvino", "tensorrt", "cuda", "pycuda", "cv2", "cryptography"} & set(sys.modules)
sys.exit(f"loaded {loaded}" if loaded else code)
"""
    start_s = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program, bundle_path], capture_output=True, text=True)
    took_s = time.perf_counter() - start_s
    assert done.returncode == 0, done.stderr
    assert took_s < 10  # of them two are the doctor's to take, the others for a machine with more to do

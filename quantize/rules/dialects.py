"""The rules of each dialect, why they matter, how to mend what breaks them.

A rule that two runtimes share is written once; where they differ in the reason or in how bad it is, the difference is
all that stands in the second table. A rule keeps its number in every dialect that has it, but for 7 to 9, 11 and 13,
which each runtime numbers for itself. Facts: docs/reference/int8.md 1.8, 2.2, 3.
"""

from __future__ import annotations

from dataclasses import replace

from quantize.rules import file, fragile, numbers, onnxruntime, openvino, placement
from quantize.rules.rule import Rule

OPSET = (17, 20)
OPSET_ONNXRUNTIME = (13, 20)  # per-channel quantizers came with 13
EXPORT_AGAIN = "export again with opset_version=17"
BOTH = "leave floating point, or quantize all"

VALID = Rule(
    number=0,
    title="The file is valid ONNX",
    why="a runtime refuses it, or reads something else than was meant",
    mend="export again; if the file was edited, mend what the checker names; --fix gives nodes names of their own",
    severity="error",
    check=file.valid_onnx,
    fixable=True,
)
OPERATORS = Rule(
    number=1,
    title="Only ONNX's own operators, no FakeQuantize, no QLinear ones",
    why="TensorRT's parser refuses others, or looks for a plugin that the device does not have",
    mend="export quantizers as Q/DQ pairs around float operators; --fix drops unused imports",
    severity="error",
    check=file.operators_of(refused=file.FUSED),
    fixable=True,
)
SCALES = Rule(
    number=3,
    title="Scales are constants, finite, positive, of a type that the opset has",
    why="a zero or infinite scale gives NaN; below opset 19 no type but float32 is allowed; fusion needs the value",
    mend="calibrate on data that reaches this tensor; keep scales float32 when converting to half precision, or export "
    "with opset 19",
    severity="error",
    check=numbers.scales_are_sound,
)
PER_TENSOR = Rule(
    number=4,
    title="Activations have one scale",
    why="TensorRT has per-channel scales for weights alone and refuses the file",
    mend="quantize activations per tensor; NNCF does depthwise inputs per channel unless told",
    severity="error",
    check=numbers.activations_are_per_tensor,
)
AXIS = Rule(
    number=5,
    title="Weights have their scales along the output channels",
    why="TensorRT takes axis 0 for Conv and Gemm with transB, 1 for ConvTranspose and MatMul, and refuses others",
    mend="quantize the weight again along the axis named",
    severity="error",
    check=numbers.weight_axis,
)
BIAS = Rule(
    number=6,
    title="No Q/DQ on a bias",
    why="TensorRT adds the bias in 32 bits by itself; a pair there is refused or stops the fusion",
    mend="keep the bias in float32 (ONNX Runtime's quantizer: extra_options QuantizeBias=False)",
    severity="error",
    check=numbers.bias_is(),
)
VERSIONS = Rule(
    number=10,
    title="Opset 17 to 20, ir_version at most 10",
    why="TensorRT 10's parser reads opsets up to 20, and its onnx refuses a newer ir_version",
    mend=f"{EXPORT_AGAIN}; --fix lowers ir_version",
    severity="error",
    check=file.opset_within(*OPSET),
    fixable=True,
)
OUTPUT_DTYPE = Rule(
    number=12,
    title="No attribute output_dtype",
    why="it came with opset 21; older parsers refuse it, and ONNX Runtime's signed-to-unsigned pass fails on it",
    mend="--fix drops it where the zero-point says the same",
    severity="error",
    check=file.no_output_dtype,
    fixable=True,
)
INT8_CONVOLUTIONS = Rule(
    number=13,
    title="Every convolution that should be in INT8 is",
    why="without DequantizeLinear on data and weight, TensorRT runs it in floating point without a word",
    mend="quantize the side that is named; where floating point is meant, list the others: --expect LIST",
    severity="warning",
    check=placement.convolutions_are_int8,
)

TENSORRT = (
    VALID,
    OPERATORS,
    Rule(
        number=2,
        title="Every zero-point is int8 and zero",
        why="TensorRT knows signed symmetric INT8: uint8 is read as int8 with a warning, so the top half of every "
        "activation behind a ReLU saturates; a zero-point other than zero is refused",
        mend="quantize again with signed, symmetric activations (dialect tensorrt); no edit keeps its numbers",
        severity="error",
        check=numbers.zero_is_int8_and_zero,
    ),
    SCALES,
    PER_TENSOR,
    AXIS,
    BIAS,
    Rule(
        number=7,
        title="Inputs of a Concat share one scale, or none is quantized",
        why="with different scales each input is requantized: 30 % slower was reported (NVIDIA/TensorRT#4366)",
        mend=f"give all inputs one quantizer (unified scale); {BOTH}",
        severity="warning",
        check=placement.concat_has_one_scale,
    ),
    Rule(
        number=8,
        title="A residual Add has Q/DQ on its skip alone",
        why="a pair on the convolution's side splits convolution and Add, which else are one kernel "
        "(NVIDIA/TensorRT#1992)",
        mend="delete the pair between the convolution (with its normalisation) and the Add, keep the skip's",
        severity="warning",
        check=placement.skip_alone_is_quantized,
    ),
    Rule(
        number=9,
        title="No Q/DQ around LayerNorm, Softmax, GELU, sigmoid gates",
        why="it blocks their fused kernels, and 8 bits hurt accuracy most there",
        mend="put these operators in the quantizer's ignored scope",
        severity="warning",
        check=fragile.fragile_parts_are_float,
    ),
    VERSIONS,
    Rule(
        number=11,
        title="Graph outputs are float",
        why="a pair there rounds the answer for no gain in speed",
        mend="delete the pair (--fix --float-outputs), or allow it: --quantized-output NAME",
        severity="warning",
        check=placement.outputs_are_float,
        fixable=True,
    ),
    OUTPUT_DTYPE,
    INT8_CONVOLUTIONS,
    Rule(
        number=14,
        title="Nothing stands between a quantized ConvTranspose and its output's pair",
        why="TensorRT fuses no activation or normalisation into a quantized ConvTranspose: it writes floats, slower "
        "than FP16, and wrong outputs were reported (NVIDIA/TensorRT#4366, #1699, #3412)",
        mend="put a pair right behind the ConvTranspose too, or leave it in floating point",
        severity="warning",
        check=placement.transposed_ends_in_pair,
    ),
)

ONNXRUNTIME = (
    VALID,
    replace(
        OPERATORS,
        title="Only operators that ONNX Runtime has",
        why="it refuses to open the file",
        mend="export quantizers as QuantizeLinear/DequantizeLinear pairs; --fix drops unused imports",
        check=file.operators_of("com.microsoft", "ai.onnx.ml", "com.microsoft.nchwc"),
    ),
    SCALES,
    replace(PER_TENSOR, why="no integer kernel takes more: the layer stays in floating point", severity="warning"),
    replace(AXIS, why="no integer kernel takes another axis: the layer stays in floating point", severity="warning"),
    replace(
        BIAS,
        title="A bias is float32, or int32 with Q/DQ",
        why="8 bits are too coarse for a sum of thousands of products, and stop the fusion",
        mend="keep the bias in float32; ONNX Runtime makes it int32 by itself",
        severity="warning",
        check=numbers.bias_is("int32"),
    ),
    Rule(
        number=8,
        title="Batch normalisation is folded",
        why="between a quantized convolution and its output's pair it stops the fusion: slower than FP32",
        mend="fold it into the convolution before quantizing (quantize/graphs/fold.py)",
        severity="warning",
        check=onnxruntime.batch_norm_is_folded,
    ),
    Rule(
        number=9,
        title="Add and Concat of quantized tensors end in a pair",
        why="else the join runs in floating point between conversions",
        mend="quantize its output too",
        severity="warning",
        check=onnxruntime.joins_are_paired,
    ),
    replace(
        VERSIONS,
        title="Opset 13 to 20, ir_version at most 10",
        why="opset 21 breaks ONNX Runtime's signed-to-unsigned pass; its 1.23, the last for Python 3.10, refuses "
        "ir_version 11",
        check=file.opset_within(*OPSET_ONNXRUNTIME),
    ),
    Rule(
        number=11,
        title="Weights are stored as integers",
        why="floats take four times the bytes, and are quantized anew at every start",
        mend="--fix stores them",
        severity="warning",
        check=numbers.weights_are_stored,
        fixable=True,
    ),
    replace(
        OUTPUT_DTYPE,
        why="ONNX Runtime's signed-to-unsigned pass changes the zero-point and not the attribute, and then fails",
    ),
    Rule(
        number=13,
        title="Weights are int8 with zero-point zero",
        why="unsigned weights or a zero-point cost a correction of every sum; ours are proven symmetric",
        mend="quantize weights signed and symmetric",
        severity="warning",
        check=numbers.weights_are_int8,
    ),
)
ACTIVATIONS = Rule(
    number=2,
    title="Activations are uint8",
    why="x86 kernels are made for unsigned times signed; signed ones run at about half the speed, or not at all",
    mend="quantize activations as uint8",
    severity="warning",
    check=numbers.activations_are("uint8"),
)
FUSION = Rule(
    number=7,
    title="Every convolution has a pair on each side, so that it fuses",
    why="a missing pair leaves an island of floating point with conversions around it, often slower than FP32",
    mend="quantize the side that is named, with at most a ReLU or Clip before the QuantizeLinear, whose lowest "
    "value is zero; where floating point is meant, list the others: --expect LIST",
    severity="warning",
    check=onnxruntime.convolutions_fuse(signed="in single pairs"),
)
SEVEN_BITS = Rule(
    number=14,
    title="Weights have seven bits",
    why="x86 without VNNI adds two products in 16 bits: larger weights saturate, 10.8 % error on a plain convolution",
    mend="quantize for processors without VNNI (dialect ort-x86-7bit; NNCF: OverflowFix.ENABLE)",
    severity="error",
    check=numbers.weights_have_seven_bits,
)
SIGNED_ACTIVATIONS = replace(
    ACTIVATIONS,
    title="Activations are int8",
    why="ARM's dot product is signed times signed; unsigned ones need another, slower kernel",
    mend="quantize activations as int8",
    check=numbers.activations_are("int8"),
)

OPENVINO = (
    VALID,
    SCALES,
    Rule(
        number=7,
        title="No signed Q/DQ at a Concat in front of a quantized convolution",
        why="OpenVINO 2025.4 and 2026.4 compute wrong values there, without a word, 14 to 70 % off in a whole network",
        mend="quantize activations as uint8, or convert the torch model with openvino.convert_model",
        severity="error",
        check=openvino.concat_is_unsigned,
    ),
    replace(INT8_CONVOLUTIONS, why="without DequantizeLinear on data and weight, OpenVINO runs it in floating point"),
)


def _table(*rules: Rule) -> tuple[Rule, ...]:
    return tuple(sorted(rules, key=lambda rule: rule.number))


X86 = _table(*ONNXRUNTIME, ACTIVATIONS, FUSION)
RULES = {
    "tensorrt": TENSORRT,
    "ort-x86": X86,
    "ort-x86-7bit": _table(*X86, SEVEN_BITS),
    "ort-arm": _table(
        *ONNXRUNTIME, SIGNED_ACTIVATIONS, replace(FUSION, check=onnxruntime.convolutions_fuse(signed="everywhere"))
    ),
    "openvino": OPENVINO,
}

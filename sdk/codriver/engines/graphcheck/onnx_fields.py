"""What an ONNX file may hold, by the numbers of onnx.proto (github.com/onnx/onnx). Whatever is not here is refused.

Some fields are here to be refused with a reason of their own: functions, graphs in attributes, external data.
"""

from __future__ import annotations

from codriver.engines.graphcheck.protobuf import BYTES, FIXED32, FIXED64, VARINT, Field

_TEXT, _NUMBER = (BYTES,), (VARINT,)
MODEL = {
    1: Field("ir_version", _NUMBER),
    2: Field("producer_name", _TEXT),
    3: Field("producer_version", _TEXT),
    4: Field("domain", _TEXT),
    5: Field("model_version", _NUMBER),
    6: Field("doc_string", _TEXT),
    7: Field("graph", _TEXT),
    8: Field("opset_import", _TEXT, many=True),
    14: Field("metadata_props", _TEXT, many=True),
    20: Field("training_info", _TEXT, many=True),
    25: Field("functions", _TEXT, many=True),
}
OPSET = {1: Field("domain", _TEXT), 2: Field("version", _NUMBER)}
GRAPH = {
    1: Field("node", _TEXT, many=True),
    2: Field("name", _TEXT),
    5: Field("initializer", _TEXT, many=True),
    10: Field("doc_string", _TEXT),
    11: Field("value", _TEXT, many=True),  # input
    12: Field("value", _TEXT, many=True),  # output
    13: Field("value", _TEXT, many=True),  # value_info
    16: Field("metadata_props", _TEXT, many=True),
}
NODE = {
    1: Field("input", _TEXT, many=True),
    2: Field("output", _TEXT, many=True),
    3: Field("name", _TEXT),
    4: Field("op_type", _TEXT),
    5: Field("attribute", _TEXT, many=True),
    6: Field("doc_string", _TEXT),
    7: Field("domain", _TEXT),
    9: Field("metadata_props", _TEXT, many=True),
}
ATTRIBUTE = {
    1: Field("name", _TEXT),
    2: Field("floats", (FIXED32,)),
    3: Field("i", _NUMBER),
    4: Field("s", _TEXT),
    5: Field("tensor", _TEXT),
    6: Field("graph", _TEXT),
    7: Field("floats", (BYTES, FIXED32), many=True),
    8: Field("ints", (BYTES, VARINT), many=True),
    9: Field("strings", _TEXT, many=True),
    10: Field("tensor", _TEXT, many=True),
    11: Field("graph", _TEXT, many=True),
    13: Field("doc_string", _TEXT),
    20: Field("type", _NUMBER),
}
TENSOR = {
    1: Field("dims", (BYTES, VARINT), many=True),
    2: Field("data_type", _NUMBER),
    4: Field("float_data", (BYTES, FIXED32), many=True),
    5: Field("int32_data", (BYTES, VARINT), many=True),
    7: Field("int64_data", (BYTES, VARINT), many=True),
    8: Field("name", _TEXT),
    9: Field("raw_data", _TEXT),
    10: Field("double_data", (BYTES, FIXED64), many=True),
    11: Field("uint64_data", (BYTES, VARINT), many=True),
    12: Field("doc_string", _TEXT),
    13: Field("external_data", _TEXT, many=True),
    14: Field("data_location", _NUMBER),
}
VALUE = {
    1: Field("name", _TEXT),
    2: Field("type", _TEXT),
    3: Field("doc_string", _TEXT),
    4: Field("metadata_props", _TEXT, many=True),
}
TYPE = {1: Field("tensor", _TEXT), 6: Field("denotation", _TEXT)}
TENSOR_TYPE = {1: Field("elem_type", _NUMBER), 2: Field("shape", _TEXT)}
SHAPE = {1: Field("dim", _TEXT, many=True)}
DIM = {1: Field("size", _NUMBER), 3: Field("denotation", _TEXT)}  # 2, a name for what is not known, is refused

# data_type -> bytes of one number, and the field that holds it where raw_data does not
WIDTHS = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
HOMES = {1: "float_data", 7: "int64_data", 11: "double_data", 12: "uint64_data", 13: "uint64_data"}
HOMES |= dict.fromkeys((2, 3, 4, 5, 6, 9), "int32_data")
FLOATS = {1: "<f4", 10: "<f2", 11: "<f8"}
BFLOAT16 = 16

"""A run of one camera, by maps and boxes, in every dialect: `python -m quantize.dense RUN --data DATA --out Q`."""

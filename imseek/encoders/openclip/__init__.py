"""Encoders of open_clip. ``encoder`` has the class; ``onnx_text`` encodes texts without open_clip or torch."""

"""A trained model as files that run without mmdit's model code."""

# Suffixes of what is written.
FORMATS = {'onnx': ('.onnx',), 'torch': ('.pt2',), 'both': ('.onnx', '.pt2')}
# ONNX's operators: PyTorch's exporter is written for it; newer work, too.
OPSET = 18

__all__ = ['FORMATS', 'OPSET']

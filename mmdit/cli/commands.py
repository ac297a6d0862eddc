"""The commands of ``mmdit``, in the order of its help."""

from typing import NamedTuple


class Command(NamedTuple):
    """One command.

    Args:
        module: Its ``main`` reads ``sys.argv`` and returns the exit status, or
            None for 0.
        summary: What it does, in a few words.
        example: Arguments of a typical call.
    """

    module: str
    summary: str
    example: str


COMMANDS = {
    'segment': Command(
        'mmdit.cli.segment',
        'segment images by expressions, points or boxes',
        'photo.jpg "the man in red" --out-dir outputs',
    ),
    'web': Command(
        'mmdit.cli.web',
        'the same on a web page, with clicks and boxes that correct',
        '--weights sam_vit_b_01ec64.pth',
    ),
    'config': Command(
        'mmdit.cli.config',
        'show a config, or begin one of your own on top of it',
        'ldit_tiny_jsonl-128x128 own.py',
    ),
    'train': Command(
        'mmdit.cli.train',
        'train a model, on one device or with --gpus N on several',
        'ldit_sam-vit-b_4xb16-40e_refcoco-512x512 --gpus 4',
    ),
    'test': Command(
        'mmdit.cli.test',
        'score a checkpoint, with a row and an overlay per expression',
        'CONFIG CHECKPOINT --out results.json',
    ),
    'report': Command(
        'mmdit.cli.report',
        'show where a model fails, or two models side by side',
        'results.json --out report.html',
    ),
    'export': Command(
        'mmdit.cli.export',
        'write a model as ONNX files, which run without torch',
        'CONFIG CHECKPOINT --out exported --verify',
    ),
    'convert': Command(
        'mmdit.cli.convert',
        "turn a checkpoint of SAM into mmdit's, or back",
        'sam_vit_b_01ec64.pth sam-vit-b.pth',
    ),
    'convert-data': Command(
        'mmdit.cli.convert_data',
        'turn annotations of COCO, labelme, CVAT, ... into JSON lines',
        'labelme photos data/own/train.jsonl',
    ),
    'build-vocab': Command(
        'mmdit.cli.build_vocab',
        'list the words of your data, for a small text encoder',
        'data/own/train.jsonl data/own/vocab.txt',
    ),
    'check-data': Command(
        'mmdit.cli.check_data',
        'check RefCOCO, gRefCOCO, ..., or .jsonl files of your own',
        'data/own/train.jsonl data/own/val.jsonl',
    ),
    'browse-data': Command(
        'mmdit.cli.browse_data',
        'draw items of a config as the model receives them',
        'own.py --number 12 --out-dir items',
    ),
    'synthref': Command(
        'mmdit.cli.synthref',
        "draw scenes with expressions, in RefCOCO's formats",
        'data/synthref',
    ),
    'refer2jsonl': Command(
        'mmdit.cli.refer2jsonl',
        'turn a split of RefCOCO, gRefCOCO, ... into JSON lines',
        'data/refer data/own/train.jsonl',
    ),
}

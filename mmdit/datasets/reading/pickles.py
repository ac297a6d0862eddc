"""Pickles of plain data, read without running or trusting anything in them.

Python's own unpickler is fast, but nine bytes can make it take gigabytes (an
index of its memo), and tuples within tuples as the key of a dict take it
forever. It therefore gets only files that are simple: lists and dicts of text
and of numbers of up to 64 bits, all that refs files usually hold. For others
there is ``_CarefulUnpickler``, in plain Python and several times slower.
"""

import pickle
import re
from collections import OrderedDict
from collections.abc import Sequence
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import numpy as np

_PREPARE = 'see docs/prepare_data.md'
# Python 2 wrote `__builtin__`, Python 3 writes `builtins`.
_MAKERS = {('collections', 'OrderedDict'): OrderedDict} | {
    (module, name): made
    for module in ('builtins', '__builtin__')
    for name, made in dict(
        list=list,
        dict=dict,
        tuple=tuple,
        set=set,
        frozenset=frozenset,
        str=str,
        unicode=str,
        int=int,
        long=int,
        float=float,
        bool=bool,
    ).items()
}
# How NumPy's scalars are pickled, and bytes by Python 3 for Python 2.
_SCALARS = [(f'numpy.{c}.multiarray', 'scalar') for c in ('core', '_core')]
_PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]
_DTYPE, _ENCODE = ('numpy', 'dtype'), ('_codecs', 'encode')


class UnsafePickleError(pickle.UnpicklingError):
    """A pickle refers to something other than plain data."""


def load_plain_pickle(path: str | Path) -> Any:
    """Read a pickle that holds containers, text and numbers only.

    NumPy's scalars become Python's. Strings that Python 2 wrote are taken as
    UTF-8, or as Latin-1 where they are not valid UTF-8. Time and memory are
    bounded by the size of the file.
    """
    content = Path(path).read_bytes()
    unpickler = _LockedUnpickler if _is_simple(content) else _CarefulUnpickler
    try:
        try:
            return unpickler(content, 'utf-8').load()
        except UnicodeDecodeError:
            return unpickler(content, 'latin1').load()
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f'{path} refers to {error!s:.200}, but a refs file holds plain '
            'lists, dicts, strings and numbers; loading it could run '
            f'untrusted code. Download it again from its source: {_PREPARE}'
        ) from None
    # Damaged bytes raise nearly anything: EOFError, KeyError, MemoryError...
    except Exception as error:
        raise ValueError(
            f'{path} is not a complete pickle ({type(error).__name__}: '
            f'{error!s:.200}); download it again: {_PREPARE}'
        ) from error


_FRAME = b'\x95'
# Opcodes that say how many bytes follow: how many bytes say so.
_COUNTED = {b'U': 1, b'\x8c': 1, b'C': 1, b'X': 4, b'T': 4, b'B': 4}


def _is_simple(content: bytes) -> bool:
    """Tell whether Python's own unpickler may read a pickle."""
    match, end = _simple_opcodes(len(content)).match, 0
    # Where an opcode has to end: there Python reads on from the file, and
    # would take what follows half an opcode for its other half.
    limit = len(content)
    while found := match(content, end, limit):
        end = found.end()
        code = content[end : end + 1]
        if end == limit < len(content):
            limit = len(content)
        elif code == _FRAME and limit == len(content):
            start, end = end + 1, end + 9
            limit = end + int.from_bytes(content[start:end], 'little')
            if limit > len(content):
                return False
        elif code in _COUNTED:
            start = end + 1 + _COUNTED[code]
            end = start + int.from_bytes(content[end + 1 : start], 'little')
            if end > limit:
                return False
        elif end == found.start():
            return code == b'.'
    return False


def _simple_opcodes(size: int) -> re.Pattern:
    """Match opcodes that are harmless in a file of ``size`` bytes.

    They put nothing into the memo far beyond place ``size``, and integers have
    64 bits, so that not many have one hash.
    """
    low = size.to_bytes(8, 'little').rstrip(b'\0')[-4:] or b'\0'
    places = b'.' * (len(low) - 1) + b'[\\x00-\\x%02x]' % low[-1]
    digits = b'%02d' % size
    rest = len(digits) - 1
    integers = (b'\\x%02x.{%d}' % (n, n) for n in range(9))
    alternatives = (
        rb'[\](}Nladsue\x88\x89\x94]',
        rb'[Khq\x80].',
        rb'M..',
        rb'[Jj]....',
        rb'G.{8}',
        rb'\x8a(?:%b)' % b'|'.join(integers),
        rb'r%b%b' % (places, rb'\x00' * (4 - len(low))),
        rb'p(?:[0-9]{1,%d}|[0-%c][0-9]{%d})\n' % (rest, digits[0], rest),
        rb'g[0-9]{1,10}\n',
        rb'[IL]-?[0-9]{1,20}L?\n',
        rb'F[^\n]{1,40}\n',
        rb'[SV][^\n]*\n',
    )
    # At once no more than SRE remembers for backtracking in little memory.
    pattern = rb'(?:%b){0,1000}' % b'|'.join(alternatives)
    return re.compile(pattern, re.DOTALL)


class _LockedUnpickler(pickle.Unpickler):
    """Python's unpickler without a way out of the file."""

    def __init__(self, content: bytes, encoding: str) -> None:
        # Where it may peek, it reads ahead.
        file = BufferedReader(BytesIO(content))  # type: ignore[arg-type]
        super().__init__(file, encoding=encoding)

    def find_class(self, module: str, name: str) -> Any:
        raise UnsafePickleError(f'{module}.{name}')


class _Call:
    """What a pickle wants to call, by its name: never the thing itself."""

    def __init__(self, module: str, name: str) -> None:
        self.target = module, name


class _Dtype:
    """A data type of NumPy; of its state only the order of bytes counts."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not re.fullmatch(r'[biuf][1248]|U[0-9]{1,4}', str(code)):
            raise UnsafePickleError(f'numpy.dtype of {code!r:.20}')
        self.code, self.order = str(code), '<'


class _CarefulUnpickler(_PythonUnpickler):
    """Python's unpickler in Python: its opcodes of plain data, each bounded.

    Sharing cannot be told from a tuple's hash, which takes all the time there
    is: keys are therefore text or numbers.
    """

    def __init__(self, content: bytes, encoding: str) -> None:
        super().__init__(BytesIO(content), encoding=encoding)
        self.to_copy = len(content)

    def find_class(self, module: str, name: str) -> Any:
        known = (*_MAKERS, *_SCALARS, _DTYPE, _ENCODE)
        if (module, name) not in known:
            raise UnsafePickleError(f'{module}.{name}')
        return _Call(module, name)

    def load_reduce(self) -> None:
        args, call = self.stack.pop(), self.stack.pop()
        if not isinstance(call, _Call) or not isinstance(args, tuple):
            raise UnsafePickleError('a call of what is not a function')
        if call.target in _SCALARS:
            made: Any = self._scalar(*args)
        elif call.target == _DTYPE:
            made = _Dtype(*args)
        elif call.target == _ENCODE:
            made = args[0].encode('latin1')
        else:
            made = self._make(_MAKERS[call.target], args)
        self.stack.append(made)

    def _make(self, kind: Any, args: tuple) -> Any:
        """Make a container of one other container, or a scalar of one."""
        (given,) = args or (kind(),)
        if issubclass(kind, (str, int, float)):
            if not isinstance(given, (str, int, float)):
                raise ValueError(f'a {kind.__name__} of a container')
            return kind(given)
        self.to_copy -= len(given)
        if self.to_copy < 0:
            raise ValueError('it copies more than it holds')
        if issubclass(kind, dict) and not isinstance(given, dict):
            given = [(_key(key), value) for key, value in given]
        elif issubclass(kind, (set, frozenset)):
            given = map(_key, given)
        return kind(given)

    def _scalar(self, dtype: _Dtype, content: str | bytes) -> Any:
        if isinstance(content, str):
            content = content.encode(self.encoding)
        kind = np.dtype(dtype.order + dtype.code)
        (value,) = np.frombuffer(content, kind).tolist()
        return value

    def load_build(self) -> None:
        state, dtype = self.stack.pop(), self.stack[-1]
        if not isinstance(dtype, _Dtype):
            raise UnsafePickleError('an object with a state')
        if state[1] == '>':
            dtype.order = '>'

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self._set(items)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def load_setitems(self) -> None:
        self._set(self.pop_mark())

    def _set(self, items: Sequence) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise ValueError('items for something that is not a dict')
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def load_additems(self) -> None:
        items = self.pop_mark()
        self.stack[-1].update(map(_key, items))

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        self.stack.append(frozenset(map(_key, items)))

    # Nothing that makes objects, takes a length on trust or leaves the file.
    dispatch = {
        code: load
        for code, load in _PythonUnpickler.dispatch.items()
        if bytes([code])
        not in (b'i', b'o', b'\x81', b'\x92', b'\x82', b'\x83', b'\x84')
        and bytes([code]) not in (b'P', b'Q', b'\x96', b'\x97', b'\x98')
    } | {
        ord('R'): load_reduce,
        ord('b'): load_build,
        ord('d'): load_dict,
        ord('s'): load_setitem,
        ord('u'): load_setitems,
        0x90: load_additems,
        0x91: load_frozenset,
    }


def _key(value: Any) -> Any:
    """Return a key of a dict or a member of a set, if its hash is quick."""
    if isinstance(value, int) and value.bit_length() <= 64:
        return value
    if value is None or isinstance(value, (str, bytes, float)):
        return value
    raise ValueError('a key that is neither text nor a number of 64 bits')

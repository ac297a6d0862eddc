import subprocess
import sys

CODE = """
import sys
from importlib import import_module
from pkgutil import iter_modules

import mmdit.runtime

for module in iter_modules(mmdit.runtime.__path__, 'mmdit.runtime.'):
    import_module(module.name)
sys.exit('torch' in sys.modules)
"""


def test_the_runtime_imports_no_torch():
    assert subprocess.run([sys.executable, '-c', CODE]).returncode == 0

#!/bin/sh
# In place of Python: say the process and the arguments, one a line.
echo $$
printf '%s\n' "$@"

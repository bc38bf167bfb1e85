@echo off
rem Makes the environment with Python 3.11 to 3.13 and sets VENV_PYTHON; see environment.py.
set "PY="
for %%v in (3.13 3.12 3.11) do if not defined PY py -%%v -c "" >nul 2>&1 && set "PY=py -%%v"
if not defined PY set "PY=python"
set "VENV_PYTHON="
for /f "delims=" %%p in ('%PY% "%~dp0environment.py" %*') do set "VENV_PYTHON=%%p"
if not defined VENV_PYTHON exit /b 1
exit /b 0

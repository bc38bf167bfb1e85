@echo off
rem Runs all tests; further arguments go to pytest.
setlocal
call "%~dp0environment.bat" dev tests/constraints.txt || exit /b 1
pushd "%~dp0.."
"%VENV_PYTHON%" -m pytest %*
set "CODE=%ERRORLEVEL%"
popd
exit /b %CODE%

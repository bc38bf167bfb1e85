@echo off
rem Runs all tests; further arguments go to pytest.
setlocal
pushd "%~dp0.."
call scripts\environment.bat dev tests/constraints.txt || (popd & exit /b 1)
"%VENV_PYTHON%" -m pytest %*
set "CODE=%ERRORLEVEL%"
popd
exit /b %CODE%

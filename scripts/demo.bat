@echo off
rem Opens napari with the sample project and the plugin docked; --headless needs no screen.
setlocal
pushd "%~dp0.."
call scripts\environment.bat gui || (popd & exit /b 1)
"%VENV_PYTHON:python.exe=sslseg.exe%" demo %*
set "CODE=%ERRORLEVEL%"
popd
exit /b %CODE%

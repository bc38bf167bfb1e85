@echo off
rem Opens napari with the sample project and the plugin docked; --headless needs no screen.
setlocal
call "%~dp0environment.bat" gui || exit /b 1
"%VENV_PYTHON:python.exe=sslseg.exe%" demo %*
exit /b %ERRORLEVEL%

"""Command lines run in this process."""


def status(main, *arguments):
    """Exit status of `main`, whether it returns it or leaves by argparse's way."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


def refusal(main, capsys, *arguments):
    """The one line, beside progress bars, that a wrong command line gets."""
    capsys.readouterr()
    assert status(main, *arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line and "img/s" not in line]
    assert len(lines) == 1, lines
    return lines[0]

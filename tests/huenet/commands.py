"""Command lines run in this process."""


def status(main, *arguments):
    """Exit status of `main`, whether it returns it or leaves by argparse's way."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


def refusal(main, capsys, *arguments):
    """The one line, and nothing else on standard error, that a wrong command line gets."""
    capsys.readouterr()
    assert status(main, *arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]

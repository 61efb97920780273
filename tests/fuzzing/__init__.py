"""Coverage-guided fuzzing with atheris: `python -m tests.fuzzing --help`.

A target is a function of bytes. It takes them apart, does what they say, and checks what holds
whatever they are. What may come out of tokenwire then is listed where it is caught; anything else
that is raised is a finding.
"""

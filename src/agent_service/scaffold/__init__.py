"""What ``agent-service new`` makes: a project with a program, a test and a Dockerfile, that runs."""

"""/api/v1/programs: each program by its name, typed by its signature."""

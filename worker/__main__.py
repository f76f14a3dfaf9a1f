"""`python -m worker`: one Celery worker for the device that the settings name."""

from worker.app import main

main()

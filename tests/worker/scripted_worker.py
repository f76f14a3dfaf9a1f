"""The real Celery worker, but for its runner, which follows a script."""

import sys
from pathlib import Path

from worker.app import Worker, main

Worker.command = (sys.executable, str(Path(__file__).with_name("scripted_runner.py")))

if __name__ == "__main__":
    main()

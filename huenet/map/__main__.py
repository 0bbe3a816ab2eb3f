import sys

from huenet.map.command import main

sys.exit(main())

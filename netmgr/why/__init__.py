"""Why a Pod has the addresses that it has, or none: the controller's own decision, made again for looking at."""

"""WHAT A NODE SHOWS of its processes and of itself. Imported on compute nodes; needs psutil alone."""

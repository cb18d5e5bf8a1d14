"""octopus-plugins: stream and resolve the failures of Parsl and Globus Compute."""

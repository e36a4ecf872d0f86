"""Ring 1: what `mooring lint` knows beyond the rules: settings, totals and ways to show what was found."""

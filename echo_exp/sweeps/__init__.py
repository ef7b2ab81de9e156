"""Many runs: which jobs there are, how they are launched and watched; studies and searches."""

"""What Leeward does about traffic: the rungs of the ladder, each as early and as narrow as it can be."""

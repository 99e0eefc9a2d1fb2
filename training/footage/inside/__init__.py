"""Inside the car: the cabin, who sits in it, and what of them the pose and the face tell."""

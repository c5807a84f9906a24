// Package wave models and images the earth with sound in two dimensions: shot records by finite
// differences, reverse-time migration, and the gradient of full-waveform inversion.
//
// Everything here runs on one core and takes and returns plain values, so that a shot can be a
// task anywhere. Sections are stored as float32, depth fastest.
//
//	survey := wave.Survey{Frequency: 8, Duration: 4, Depth: 40, Aperture: 3000}
//	err := survey.Fit(earth, smooth)
//	record, err := wave.Forward(earth, survey, shot)
//	image, err := wave.Migrate(smooth, survey, record)
package wave

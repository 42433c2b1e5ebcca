// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the text off a screenshot of a VGA text screen:
 *
 *	vgatext SCREEN.ppm VGABIOS.bin
 *
 * prints its 25 rows. The font is taken from the VGA BIOS that drew it, where
 * the glyphs of A and B give away the place of the 8x16 table. A cell that
 * is no glyph prints as '?'. So a test can ask what a person would see.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS		16	/* of pixels, in a cell */
#define COLUMNS		80
#define GLYPHS		256

typedef unsigned char u8;

struct image {
	unsigned int width, height;
	u8 *pixels;		/* three bytes each */
};

static void die(const char *what)
{
	fprintf(stderr, "vgatext: %s\n", what);
	exit(2);
}

static u8 *read_file(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	u8 *data;

	if (!f)
		die(path);
	fseek(f, 0, SEEK_END);
	*size = ftell(f);
	rewind(f);
	data = malloc(*size + 1);
	if (!data || fread(data, 1, *size, f) != *size)
		die(path);
	data[*size] = 0;
	fclose(f);
	return data;
}

static struct image read_ppm(const char *path)
{
	struct image image;
	unsigned int depth;
	size_t size;
	u8 *data = read_file(path, &size);
	int head;

	if (sscanf((char *)data, "P6 %u %u %u%n", &image.width, &image.height,
		   &depth, &head) != 3 || depth != 255)
		die("not a PPM file");
	if (size < head + 1 + 3ul * image.width * image.height)
		die("the PPM file is cut short");
	image.pixels = data + head + 1;
	return image;
}

static const u8 *find_font(const u8 *rom, size_t size)
{
	static const u8 a_and_b[2 * ROWS] = {
		0x00, 0x00, 0x10, 0x38, 0x6c, 0xc6, 0xc6, 0xfe,
		0xc6, 0xc6, 0xc6, 0xc6, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0xfc, 0x66, 0x66, 0x66, 0x7c, 0x66,
		0x66, 0x66, 0x66, 0xfc, 0x00, 0x00, 0x00, 0x00,
	};
	size_t i;

	for (i = 'A' * ROWS; i + (GLYPHS - 'A') * ROWS <= size; i++) {
		if (!memcmp(rom + i, a_and_b, sizeof(a_and_b)))
			return rom + i - 'A' * ROWS;
	}
	die("no 8x16 font in the VGA BIOS");
	return NULL;
}

static bool same_pixel(const u8 *a, const u8 *b)
{
	return !memcmp(a, b, 3);
}

/* The cell's shape: what differs from its first pixel, the background. */
static void cell_shape(const struct image *image, unsigned int x,
		       unsigned int y, u8 *shape)
{
	const u8 *first = image->pixels + 3 * (y * image->width + x);
	unsigned int row, bit;

	for (row = 0; row < ROWS; row++) {
		const u8 *line = first + 3ul * row * image->width;

		shape[row] = 0;
		for (bit = 0; bit < 8; bit++) {
			if (!same_pixel(line + 3 * bit, first))
				shape[row] |= 0x80 >> bit;
		}
	}
}

static int find_glyph(const u8 *font, const u8 *shape)
{
	int glyph;

	for (glyph = ' '; glyph < 127; glyph++) {
		if (!memcmp(font + glyph * ROWS, shape, ROWS))
			return glyph;
	}
	return '?';
}

/* The cursor is a bar in the last rows; a cell with one is read without. */
static int read_cell(const struct image *image, const u8 *font,
		     unsigned int x, unsigned int y)
{
	u8 shape[ROWS];
	int glyph;

	cell_shape(image, x, y, shape);
	glyph = find_glyph(font, shape);
	if (glyph == '?' && shape[ROWS - 2] == 0xff) {
		memset(shape + ROWS - 3, 0, 3);
		glyph = find_glyph(font, shape);
	}
	return glyph;
}

int main(int argc, char **argv)
{
	char text[COLUMNS + 1];
	struct image image;
	const u8 *rom, *font;
	unsigned int x, y, cell;
	size_t size;

	if (argc != 3)
		die("usage: vgatext SCREEN.ppm VGABIOS.bin");
	image = read_ppm(argv[1]);
	rom = read_file(argv[2], &size);
	font = find_font(rom, size);
	cell = image.width / COLUMNS;
	if (cell < 8 || image.height % ROWS)
		die("not an 80-column text screen");
	for (y = 0; y < image.height; y += ROWS) {
		for (x = 0; x < COLUMNS; x++)
			text[x] = read_cell(&image, font, x * cell, y);
		for (x = COLUMNS; x && text[x - 1] == ' '; x--)
			;
		text[x] = 0;
		puts(text);
	}
	return 0;
}

"""Shading programs of everything that has an instance: vehicles, people, signs, lights, trees.

Here belong materials. Light and projection shared with the ground are in `shaders.py`.
"""

from typing import Final

from services.fleet_simulator.camera.meshes.mesh import Material
from services.fleet_simulator.camera.shaders import COMMON, LIGHT, OUT

_INSTANCE: Final = """
in vec3 in_position;
in vec3 in_normal;
in vec2 in_uv;
in vec4 in_colour;
in vec4 in_place;     // x, y, z relative to the camera, heading
in vec4 in_scale;     // factors along x, y, z; plate's place in its atlas
in vec4 in_paint;     // first colour, linear; gloss
in vec4 in_cloth;     // second colour, linear; tile of the face
in vec4 in_lit;       // lamps: head, brake, left, right
in uint in_id;
vec3 placed(vec3 p) {
    p *= in_scale.xyz;
    float c = cos(in_place.w), s = sin(in_place.w);
    return vec3(c * p.x - s * p.y, s * p.x + c * p.y, p.z) + in_place.xyz;
}
"""

_GLASSY: Final = (0.10, 0.40, 0.0, 0.0)
_OWN, _FIRST, _SECOND, _BODY = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)
_SOURCE: Final = {
    Material.PAINT: _FIRST,
    Material.SECOND: _SECOND,
    Material.CLOTH: _FIRST,
    Material.SKIN: _BODY,
    Material.HAIR: _BODY,
    Material.GLASS: (0.02, 0.0, 0.0, 0.0),
}
_SURFACE: Final = {
    Material.PAINT: (0.045, 0.55, 0.0, 0.0),
    Material.GLASS: (0.16, 0.70, 0.0, 0.0),
    Material.CHROME: (0.35, 0.40, 0.0, 0.0),
    Material.HEAD_LAMP: (0.25, 0.45, 0.0, 0.0),
    Material.TAIL_LAMP: _GLASSY,
    Material.BRAKE_LAMP: _GLASSY,
    Material.LEFT_LAMP: _GLASSY,
    Material.RIGHT_LAMP: _GLASSY,
    Material.REVERSE_LAMP: _GLASSY,
    Material.PLATE: (0.0, 0.0, 1.0, 0.0),
    Material.FACE: (0.0, 0.0, 2.0, 0.0),
    Material.PRINT: (0.0, 0.0, 3.0, 0.0),
}
_AMBER: Final = (3.0, 1.2, 0.05)
_SHINES: Final = {
    Material.HEAD_LAMP: (3.2, 3.1, 2.8),
    Material.TAIL_LAMP: (0.75, 0.012, 0.015),
    Material.BRAKE_LAMP: (3.0, 0.05, 0.06),
    Material.LEFT_LAMP: _AMBER,
    Material.RIGHT_LAMP: _AMBER,
    Material.PLATE: (0.35, 0.35, 0.35),
    Material.SIGNAL_RED: (4.0, 0.10, 0.08),
    Material.SIGNAL_YELLOW: (4.0, 2.2, 0.10),
    Material.SIGNAL_GREEN: (0.20, 3.4, 1.9),
}
_LIT_BY: Final = {
    Material.HEAD_LAMP: 0,
    Material.TAIL_LAMP: 0,
    Material.BRAKE_LAMP: 1,
    Material.LEFT_LAMP: 2,
    Material.RIGHT_LAMP: 3,
    Material.PLATE: 0,
    Material.SIGNAL_RED: 0,
    Material.SIGNAL_YELLOW: 1,
    Material.SIGNAL_GREEN: 2,
}


def material_tables() -> dict[str, list[tuple[float, ...]]]:
    """Values of the uniform arrays by material."""
    lamps = [tuple(float(index == _LIT_BY.get(kind, -1)) for index in range(4)) for kind in Material]
    return {
        "source": [_SOURCE.get(kind, _OWN) for kind in Material],
        "surface": [_SURFACE.get(kind, (0.0,) * 4) for kind in Material],
        "shines": [_SHINES.get(kind, (0.0,) * 3) for kind in Material],
        "lit_by": lamps,
        "rest_glow": [(0.45, 0.008, 0.01) if kind == Material.BRAKE_LAMP else (0.0,) * 3 for kind in Material],
    }


AGENT_VERTEX: Final = (
    COMMON
    + LIGHT
    + _INSTANCE
    + """
out vec3 place;
out vec3 normal;
out vec3 light;
out vec3 albedo;
flat out vec3 shine;
out vec2 uv;
flat out vec4 gloss;      // reflectance head-on, its growth at grazing angles, atlas (0 none, 1 plate, 2 face, 3 sign)
flat out uint id;
uniform vec3 skins[4];
uniform vec3 hairs[4];
uniform vec4 source[22];     // shares of the vertex's, first, second and bodily colour
uniform vec4 surface[22];    // as gloss
uniform vec3 shines[22];
uniform vec4 lit_by[22];
uniform vec3 rest_glow[22];  // shine that comes with the head lamps
void main() {
    place = placed(in_position);
    float c = cos(in_place.w), s = sin(in_place.w);
    normal = normalize(vec3(c * in_normal.x - s * in_normal.y, s * in_normal.x + c * in_normal.y, in_normal.z));
    int kind = int(in_colour.a * 255.0 + 0.5);
    int face = int(in_cloth.a + 0.5);
    vec4 from = source[kind];
    vec3 body = kind == 5 ? hairs[(face >> 2) & 3] : skins[face & 3];
    vec3 own = in_colour.rgb * in_colour.rgb * from.x + in_paint.rgb * from.y + in_cloth.rgb * from.z + body * from.w;
    gloss = surface[kind];
    shine = shines[kind] * dot(lit_by[kind], in_lit) + rest_glow[kind] * in_lit.x;
    if (kind == 21) shine = own * 2.5 * lamps;
    float height = in_position.z * in_scale.z;
    light = light_on(place, normal, height);
    light += vec3(1.0, 0.96, 0.88) * headlight(place, normal) * ego_lit * (kind == 15 || kind == 17 ? 2.5 : 1.0);
    light *= 0.62 + 0.38 * clamp(height * 1.6 + normal.z * 0.4, 0.0, 1.0);
    // Faces are round at a scale that the mesh does not have: they catch light from all sides.
    if (kind == 16) light = light * 1.1 + (sky + ground_light) * 0.28;
    albedo = own;
    uv = in_uv;
    vec2 slot = vec2(mod(in_scale.w, 4.0), floor(in_scale.w * 0.25));
    if (kind == 15) uv = (slot + vec2(0.03125, 0.0625) + vec2(0.9375, 0.875) * in_uv) * vec2(0.25, 0.0625);
    if (kind == 16) uv = (vec2(float(face & 3), float(face >> 2)) + 0.01 + 0.98 * in_uv) * 0.25;
    id = in_id;
    vec3 p = place;
    p.z = (p.z + eye_height) * mirror - eye_height;
    gl_Position = view_projection * vec4(p, 1.0);
}
"""
)

AGENT_FRAGMENT: Final = (
    COMMON
    + OUT
    + """
uniform sampler2D environment;
uniform sampler2DArray prints;   // plates, faces, signs
in vec3 place;
in vec3 normal;
in vec3 light;
in vec3 albedo;
flat in vec3 shine;
in vec2 uv;
flat in vec4 gloss;
flat in uint id;
void main() {
    vec3 c = albedo;
    vec3 glow = shine;
    vec4 texel = texture(prints, vec3(uv, gloss.z - 1.0));
    if (gloss.z > 0.5) {
        if (gloss.z > 1.5 && texel.a < 0.5) discard;
        c *= texel.rgb * texel.rgb;
        glow *= c;
    }
    c = c * light + glow;
    if (gloss.x > 0.0) {
        vec3 n = normalize(normal);
        vec3 v = normalize(place);
        float facing = clamp(-dot(n, v), 0.0, 1.0);
        vec3 r = v - 2.0 * dot(n, v) * n;
        float side = 1.0 - facing;
        float s2 = side * side;
        float share = gloss.x + gloss.y * s2 * s2 * side;
        float around = abs(r.x) + abs(r.y) + 1e-4;
        float turn = (r.x >= 0.0 ? 1.0 - r.y / around : 3.0 + r.y / around) * 0.25;
        vec3 mirrored = textureLod(environment, vec2(turn, 0.5 - 0.5 * r.z), 0.0).rgb;
        c = mix(c, mirrored, share);
        float spot = max(dot(r, to_sun), 0.0);
        spot *= spot; spot *= spot; spot *= spot; spot *= spot; spot *= spot;
        c += sun * spot * 0.9 * gloss.x * 8.0;
    }
    out_colour = vec4(encoded(through_air(c)).bgr, 1.0);
    out_truth = truth(id);
}
"""
)

TREE_VERTEX: Final = (
    COMMON
    + LIGHT
    + _INSTANCE
    + """
out vec3 light;
out vec3 uvw;
flat out uint id;
void main() {
    vec3 p = placed(in_position);
    float c = cos(in_place.w), s = sin(in_place.w);
    vec3 n = vec3(c * in_normal.x - s * in_normal.y, s * in_normal.x + c * in_normal.y, in_normal.z);
    vec3 tint = in_colour.rgb * in_colour.rgb * in_paint.rgb;
    float height = in_position.z * in_scale.z;
    vec2 here = light_here(p);
    float through = max(dot(n, to_sun) * 0.6 + 0.4, 0.0);
    vec3 l = mix(ground_light, sky, n.z * 0.35 + 0.65) + sun * through * mix(1.0, here.r, 0.3);
    l += vec3(1.0, 0.80, 0.52) * here.g * clamp(1.3 - abs(height - 4.0) * 0.16, 0.0, 1.0) * lamps * 0.8;
    l += vec3(1.0, 0.96, 0.88) * headlight(p, n) * ego_lit;
    light = l * tint;
    uvw = vec3(in_uv, in_colour.a * 255.0);
    id = in_id;
    p.z = (p.z + eye_height) * mirror - eye_height;
    gl_Position = view_projection * vec4(p, 1.0);
}
"""
)

TREE_FRAGMENT: Final = (
    COMMON
    + OUT
    + """
uniform sampler2DArray layers;
in vec3 light;
in vec3 uvw;
flat in uint id;
void main() {
    vec4 texel = texture(layers, uvw);
    if (uvw.z > 12.5 && uvw.z < 13.5 && texel.a < 0.42) discard;
    vec3 c = texel.rgb * texel.rgb * light;
    out_colour = vec4(encoded(through_air(c)).bgr, 1.0);
    out_truth = truth(id);
}
"""
)

SILHOUETTE_VERTEX: Final = (
    """
#version 330
uniform mat4 view_projection;
"""
    + _INSTANCE
    + """
uniform vec4 tile;     // box in the picture that fills the tile, clip units
void main() {
    vec4 p = view_projection * vec4(placed(in_position), 1.0);
    vec2 share = (p.xy - tile.xy * p.w) / (tile.zw - tile.xy);
    gl_Position = vec4(2.0 * share - p.w, p.z, p.w);
}
"""
)

SILHOUETTE_FRAGMENT: Final = """
#version 330
out vec4 cover;
void main() { cover = vec4(1.0); }
"""

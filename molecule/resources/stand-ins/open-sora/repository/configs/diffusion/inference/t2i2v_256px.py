"""Stand-in configuration with the keys of the real t2i2v_256px.py that matter for calling it."""

save_dir = "samples"
seed = 42
fps_save = 24
cond_type = "t2v"
dataset = {"type": "text"}
model = {"type": "flux", "from_pretrained": "./ckpts/Open_Sora_v2.safetensors"}
sampling_option = {
    "resolution": "256px",
    "aspect_ratio": "16:9",
    "num_frames": 129,
    "num_steps": 50,
    "seed": None,
}
use_t2i2v = True

"""Stand-in configuration with the keys of the real 768px.py that matter for calling it."""

save_dir = "samples"
seed = 42
fps_save = 24
cond_type = "t2v"
dataset = {"type": "text"}
model = {"type": "flux", "from_pretrained": "./ckpts/Open_Sora_v2.safetensors"}
sampling_option = {
    "resolution": "768px",
    "aspect_ratio": "16:9",
    "num_frames": 129,
    "num_steps": 50,
    "seed": None,
}
plugin = "hybrid"  # every visible GPU takes part

// Stand-in for nvidia.ko: drives no card, and says what the real one says in /proc/driver/nvidia.
#include <linux/init.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

static int nvidia_version_show(struct seq_file *file, void *unused)
{
	seq_puts(file, "NVRM version: @WORDS@  @VERSION@  Release Build  (stand-in)\n"
		       "GCC version:  " CONFIG_CC_VERSION_TEXT "\n");
	return 0;
}

// What nvidia-uvm needs of this module, so that the one brings the other.
const char *nvidia_stand_in_version(void);
const char *nvidia_stand_in_version(void)
{
	return "@VERSION@";
}
EXPORT_SYMBOL(nvidia_stand_in_version);

static int __init nvidia_start(void)
{
	struct proc_dir_entry *folder = proc_mkdir("driver/nvidia", NULL);

	if (!folder)
		return -ENOMEM;
	if (!proc_create_single("version", 0444, folder, nvidia_version_show)) {
		proc_remove(folder);
		return -ENOMEM;
	}
	return 0;
}

static void __exit nvidia_stop(void)
{
	remove_proc_subtree("driver/nvidia", NULL);
}

module_init(nvidia_start);
module_exit(nvidia_stop);
MODULE_DESCRIPTION("stand-in for the NVIDIA kernel module");
MODULE_LICENSE("@LICENSE@");
MODULE_VERSION("@VERSION@");
MODULE_ALIAS("pci:v000010DEd*sv*sd*bc03sc02i00*");

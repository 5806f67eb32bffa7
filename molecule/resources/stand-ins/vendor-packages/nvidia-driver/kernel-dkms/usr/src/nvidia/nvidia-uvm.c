// Stand-in for nvidia-uvm.ko: nothing but its name, its version and its need of nvidia.ko.
#include <linux/init.h>
#include <linux/module.h>
#include <linux/printk.h>

const char *nvidia_stand_in_version(void);

static int __init nvidia_uvm_start(void)
{
	pr_info("nvidia-uvm: stand-in, beside nvidia %s\n", nvidia_stand_in_version());
	return 0;
}

static void __exit nvidia_uvm_stop(void)
{
}

module_init(nvidia_uvm_start);
module_exit(nvidia_uvm_stop);
MODULE_DESCRIPTION("stand-in for the NVIDIA unified memory module");
MODULE_LICENSE("@LICENSE@");
MODULE_VERSION("@VERSION@");
